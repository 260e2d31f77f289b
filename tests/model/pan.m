#define rand	pan_rand
#define pthread_equal(a,b)	((a)==(b))
#if defined(HAS_CODE) && defined(VERBOSE)
	#ifdef BFS_PAR
		bfs_printf("Pr: %d Tr: %d\n", II, t->forw);
	#else
		cpu_printf("Pr: %d Tr: %d\n", II, t->forw);
	#endif
#endif
	switch (t->forw) {
	default: Uerror("bad forward move");
	case 0:	/* if without executable clauses */
		continue;
	case 1: /* generic 'goto' or 'skip' */
		IfNotBlocked
		_m = 3; goto P999;
	case 2: /* generic 'else' */
		IfNotBlocked
		if (trpt->o_pm&1) continue;
		_m = 3; goto P999;

		 /* PROC x */
	case 3: // STATE 1 - /tmp/t2.pml:4 - [((( ((a==0)) -> (6) : (( ((b==1)) -> (a) : (b) )) )==1))] (0:0:0 - 1)
		IfNotBlocked
		reached[0][1] = 1;
		if (!((( ((((int)now.a)==0)) ? (6) : (( ((((int)now.b)==1)) ? (((int)now.a)) : (((int)now.b)) )) )==1)))
			continue;
		_m = 3; goto P999; /* 0 */
	case 4: // STATE 2 - /tmp/t2.pml:4 - [a = 1] (0:0:1 - 1)
		IfNotBlocked
		reached[0][2] = 1;
		(trpt+1)->bup.oval = ((int)now.a);
		now.a = 1;
#ifdef VAR_RANGES
		logval("a", ((int)now.a));
#endif
		;
		_m = 3; goto P999; /* 0 */
	case 5: // STATE 3 - /tmp/t2.pml:4 - [(((a>=1)&&!((( ((a==0)) -> (6) : (( ((b==1)) -> (a) : (b) )) )==1))))] (0:0:0 - 1)
		IfNotBlocked
		reached[0][3] = 1;
		if (!(((((int)now.a)>=1)&& !((( ((((int)now.a)==0)) ? (6) : (( ((((int)now.b)==1)) ? (((int)now.a)) : (((int)now.b)) )) )==1)))))
			continue;
		_m = 3; goto P999; /* 0 */
	case 6: // STATE 4 - /tmp/t2.pml:4 - [a = 2] (0:0:1 - 1)
		IfNotBlocked
		reached[0][4] = 1;
		(trpt+1)->bup.oval = ((int)now.a);
		now.a = 2;
#ifdef VAR_RANGES
		logval("a", ((int)now.a));
#endif
		;
		_m = 3; goto P999; /* 0 */
	case 7: // STATE 8 - /tmp/t2.pml:4 - [-end-] (0:0:0 - 1)
		IfNotBlocked
		reached[0][8] = 1;
		if (!delproc(1, II)) continue;
		_m = 3; goto P999; /* 0 */
	case  _T5:	/* np_ */
		if (!((!(trpt->o_pm&4) && !(trpt->tau&128))))
			continue;
		/* else fall through */
	case  _T2:	/* true */
		_m = 3; goto P999;
#undef rand
	}

