	switch (t->back) {
	default: Uerror("bad return move");
	case  0: goto R999; /* nothing to undo */

		 /* PROC x */
;
		;
		
	case 4: // STATE 2
		;
		now.a = trpt->bup.oval;
		;
		goto R999;
;
		;
		
	case 6: // STATE 4
		;
		now.a = trpt->bup.oval;
		;
		goto R999;

	case 7: // STATE 8
		;
		p_restor(II);
		;
		;
		goto R999;
	}

