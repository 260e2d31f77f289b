/* The modified handshake's flows against an attacker who is the network and owns a member. README.md beside this file
 * says what is abstracted, what is shown and what is not; model_test.py runs it.
 *
 * There are no channels. A run keeps what it saw of each message; receiving means choosing any message that the attacker
 * could put on the wire at that moment: one that an honest run has sent (delivered, replayed, diverted to another run), or
 * one that he can make from what he knows. Losing a message is never choosing it. A run that would fail fatally merely
 * never goes on: it holds no key any more, so nothing is lost by that.
 */

/* ---------------------------------------------------------------- what is run: set from the environment, once */
#define V1          1 /* variant 1: TLS_RSA suite, SMKE encrypted to the member's key and signed */
#define V2_CLAIM5   2 /* variant 2, the server's second CCS right after SMKE */
#define V2_TEXT     3 /* variant 2, the server's second CCS after the client's (order "description") */
#define V3_PASSWORD 4 /* variant 3, no client certificate */
#define V3_BOTH     5 /* variant 3, certificate and password */
#define STANDARD    6 /* RFC 5246, which the server of the model allows */

#define INTACT              0
#define NO_SMKE_SIGNATURE   1 /* variant 1 as printed in the patent: no end proves to be the server (H1) */
#define NO_CLOSING_FINISHED 2 /* group state in use from SMKE on (H3) */
#define NO_VERIFY_DATA      3 /* nothing in SMKE or ClientAuthRequest stands for the server's first Finished (H3) */
#define GROUP_SECRET_ALONE  4 /* channel keys from the group's master only (H2) */
#define NO_SERVER_FINISHED  5 /* variants 2, 3: the client's second Finished ends the handshake (H3) */
#define ANY_CERTIFICATE     6 /* the client takes a member's certificate for a server's (H8) */
#define NO_EPOCH_MEMORY     7 /* the member forgets which epoch it has had (H5) */
#define FALLBACK            8 /* a member that cannot join tries again as an ordinary client (H4) */

byte flow;           /* of group 1, the one that the honest member wants */
bit automatic;       /* the member allows both flows: the server's messages choose (H30). 0: it pins `flow` */
byte other;          /* of group 2, which the same server offers and both members may join */
byte broken;         /* which protection is taken out */
bit flag_in_request; /* place of the flag: CertificateRequest (P10) or only SMKE (P11) */
bit bare;            /* without the extended master secret and without the server's check of the client's first Finished:
                        what server_verify_data has to carry alone */

c_decl {
static int setting(const char *name) {
  const char *text = getenv(name);
  if (!text) { fprintf(stderr, "%s is not set; run tests/model/model_test.py\n", name); exit(2); }
  return atoi(text);
}
/* Not part of the state: what the search has come by, printed once each. */
static unsigned char noted[64];
static void note_reached(int number, const char *what) {
  if (!noted[number]) { noted[number] = 1; printf("reached: %s\n", what); fflush(stdout); }
}
static void note_violated(const char *what) { printf("violated: %s\n", what); fflush(stdout); }
}

#define REACHED(number, what)      c_code { note_reached(number, what); }
#define PROPERTY(condition, what)  if :: (condition) :: else -> c_code { note_violated(what); }; assert(false) fi

/* ---------------------------------------------------------------- identities and states */
#define NONE   0
#define A      1 /* the honest member; its certificate, its password */
#define M      2 /* the attacker's member: holds epoch 1, is revoked when epoch 2 begins */

#define EVIL     7 /* where the number of a run stands: the attacker made it himself */
#define EVIL_KEY 3 /* where an epoch's key stands: one the attacker made. The server's keys are 1 and 2 as their epochs */

/* How far a run has come. Later is greater, so that "has sent it" is >=. */
#define IDLE      0
#define HELLO     1 /* C: ClientHello                            */
#define FLIGHT1   2 /* S: ServerHello … ServerHelloDone          */
#define FLIGHT2   3 /* C: Certificate, ClientKeyExchange, CertificateVerify, CCS1, Finished1. S: has verified them */
#define REQUEST   4 /* S: CCS1, ClientAuthRequest                */
#define RESPONSE  5 /* C: ClientAuthResponse. S: has verified it */
#define KEYED     6 /* S: SMKE (in variant 1 also CCS, Finished). C: has accepted SMKE */
#define SWITCHED  7 /* S: CCS2, order of claim 5                 */
#define FINISHED  8 /* C: its CCS2 and Finished2; in variant 1 only after the server's Finished verified */
#define IN_USE    9 /* C: SAs installed. S: member counted, its Finished sent */
#define UPDATED  10 /* S: GroupUpdate with epoch 2 sent. C: accepted */
#define PLAIN    11 /* a standard handshake ended */

typedef ClientRun { /* of the honest member A; its random and ephemeral key bear the run's number */
  byte at;
  bit member;       /* wants group 1 and nothing else (H4); 0: an ordinary TLS program with A's certificate */
  byte flow;        /* a member's: the one it is in, as far as the messages have told */
  byte server;      /* the server run of the random and ephemeral key it saw, or EVIL */
  bit request;      /* saw a CertificateRequest ... */
  bit flag;         /* ... with the multicast flag in it */
  bit altered;      /* anything else in the server's first flight was changed on the way */
  byte smke;        /* the server run of the SMKE it accepted, or EVIL */
  byte secret;      /* variant 1: the server run that made the member_secret, or EVIL */
  byte epoch;
  byte key
};

typedef ServerRun { /* of the key server; its random and ephemeral key bear the run's number */
  byte at;
  byte hello;       /* the client run of the random it saw, or EVIL */
  byte group;       /* which the ClientHello named; 0: none, the flow is standard */
  bit altered;      /* anything else in the ClientHello was changed on the way */
  bit request;
  byte cert;        /* owner of certificate and CertificateVerify */
  byte share;       /* the client run of the ephemeral key it got, or EVIL; unused in variant 1 */
  byte user;        /* variant 3: owner of the password */
  byte epoch        /* that SMKE brought; the key is the epoch's */
};

ClientRun C[2];
ServerRun S[2];
byte epoch = 1;         /* the server's current one */
byte remembered = 1;    /* the highest that A ever accepted (H5), kept over all its runs */
bit revoked;            /* M, from the moment epoch 2 exists */
bit knows_key[3];       /* of epoch n: the attacker. He was a member in epoch 1 */
bit knows_password;     /* A's */

/* ---------------------------------------------------------------- the flows */
#define FLOW(j) (S[j].group == 0 -> STANDARD : (S[j].group == 1 -> (flow) : (other)))
#define RSA_SUITE(f) ((f) == V1)
#define HAS_PASSWORD(f) ((f) == V3_PASSWORD || (f) == V3_BOTH)
#define ORDER_CLAIM5(f) ((f) == V2_CLAIM5 || HAS_PASSWORD(f))
#define CLIENT_FLOW(i) (C[i].member -> (C[i].flow) : STANDARD)
#define CLIENT_CERT(i) (C[i].request -> A : NONE)
/* The flag stands in the server's CertificateRequest. */
#define SERVER_FLAG(j) (S[j].request && S[j].group != 0 && flag_in_request)
#define IDENTITY(j) (S[j].cert != NONE -> (S[j].cert) : (S[j].user))

/* ---------------------------------------------------------------- symbolic cryptography */
/* The two runs saw the same messages up to ServerHelloDone. */
#define SAME_HELLOS(i, j)                                                                                              \
  (S[j].hello == i && !S[j].altered && S[j].group == (C[i].member -> 1 : 0) && C[i].server == j && !C[i].altered &&    \
   RSA_SUITE(CLIENT_FLOW(i)) == RSA_SUITE(FLOW(j)) && C[i].request == S[j].request && C[i].flag == SERVER_FLAG(j))
/* ... up to the client's first Finished (variant 1: its CertificateVerify). */
#define SAME_FIRST(i, j)                                                                                               \
  (SAME_HELLOS(i, j) && S[j].cert == CLIENT_CERT(i) && (RSA_SUITE(FLOW(j)) || S[j].share == i))
/* ... up to and with SMKE. */
#define SAME_SMKE(i, j) (SAME_FIRST(i, j) && C[i].smke == j && C[i].epoch == S[j].epoch && C[i].key == S[j].epoch)

/* ms1: both ephemeral keys and both randoms; with the extended master secret also the transcript (RFC 7627). What is
 * sealed under it is read and made by these two runs alone, unless the attacker made one of the ephemeral keys. */
#define SAME_MS1(i, j) (C[i].server == j && S[j].hello == i && S[j].share == i && (bare || SAME_FIRST(i, j)))

#define KNOWS_KEY(k) ((k) == EVIL_KEY || ((k) == 1 && knows_key[1]) || ((k) == 2 && knows_key[2]))
/* Channel keys need the connection's own secret and the group's master. */
#define CLIENT_SECRET_KNOWN(i) ((RSA_SUITE(C[i].flow) && C[i].secret == EVIL) || (!RSA_SUITE(C[i].flow) && C[i].server == EVIL))
#define SERVER_SECRET_KNOWN(j) ((RSA_SUITE(FLOW(j)) && S[j].cert == M) || (!RSA_SUITE(FLOW(j)) && S[j].share == EVIL))
#define CLIENT_CHANNEL_KNOWN(i) (KNOWS_KEY(C[i].key) && (broken == GROUP_SECRET_ALONE || CLIENT_SECRET_KNOWN(i)))
#define SERVER_CHANNEL_KNOWN(j) (KNOWS_KEY(S[j].epoch) && (broken == GROUP_SECRET_ALONE || SERVER_SECRET_KNOWN(j)))

inline learn(k) {
  knows_key[k] = 1;
  PROPERTY(k != 2, "secrecy of the group key: the revoked member learned the epoch after his revocation (H11)");
}

/* ---------------------------------------------------------------- the member A */
inline client_installs(i) {
  PROPERTY(C[i].smke != EVIL && C[i].key == C[i].epoch,
           "key from the server alone: a member installed a key that the key server did not make (H1)");
  PROPERTY(SAME_SMKE(i, C[i].smke) && S[C[i].smke].group == 1 && IDENTITY(C[i].smke) == A,
           "agreement: a member installed what no run of the server gave to it (group, epoch, key, identity)");
  PROPERTY(C[i].flag == SERVER_FLAG(C[i].smke) && FLOW(C[i].smke) == C[i].flow,
           "flag agreement: the two ends disagree about flag or variant (H4)");
  PROPERTY(S[C[i].smke].at >= IN_USE || (C[i].flow == V1 && S[C[i].smke].at >= KEYED),
           "closing Finished: a member installed before the server verified its Finished (H3)");
  PROPERTY(!CLIENT_CHANNEL_KNOWN(i), "control channel: another member can read and forge it (H2)");
  PROPERTY(C[i].epoch >= remembered, "epochs never fall: a member went back to an older epoch (H5)");
  C[i].at = IN_USE;
  remembered = (C[i].epoch > remembered -> (C[i].epoch) : (remembered));
  if
  :: C[i].epoch == 1 ->
       REACHED(1, "a member joins in epoch 1");
       if :: knows_key[1] -> REACHED(2, "a member joins while the attacker holds the same group key") :: else fi
  :: else -> REACHED(3, "a member joins in epoch 2")
  fi;
  if
  :: C[1 - i].member && C[1 - i].at >= IN_USE -> REACHED(4, "two joins of the member side by side")
  :: else
  fi
}

#define EPOCH_ACCEPTABLE(e) ((e) >= remembered || broken == NO_EPOCH_MEMORY)

/* SMKE of server run j. The guard before has checked its signature, record or verify_data. */
inline client_accepts(i, j) {
  C[i].smke = j;
  C[i].epoch = S[j].epoch;
  C[i].key = S[j].epoch;
  C[i].secret = j;
  PROPERTY(SAME_SMKE(i, j), "proof before use: SMKE was accepted although the server saw another handshake (H3)");
  C[i].at = KEYED
}

proctype Client(byte i) {
  do
  /* ClientHello. Run 0 is always a member's. */
  :: atomic { C[i].at == IDLE ->
       if :: C[i].member = 1 :: i == 1 || broken == FALLBACK -> C[i].member = 0 fi;
       C[i].flow = flow;
       C[i].at = HELLO }

  /* The server's first flight. A member that allows both flows follows the one that it seems to be; where that shows
   * only later (SMKE's order, a request for the password), it is guessed here, and a wrong guess goes no further. Under
   * ECDHE the ServerKeyExchange is signed over both randoms and the ephemeral key, under TLS_RSA nothing is. Suite, CertificateRequest and flag are in clear: the attacker chooses them, the member takes only
   * what its configuration says. An ordinary client takes any, a flag that it does not know included (P1). */
  :: atomic { C[i].at == HELLO ->
       if
       :: C[i].flow = flow
       :: automatic && C[i].member -> C[i].flow = other; REACHED(15, "a member is led to the other flow that it allows")
       fi;
       if
       :: RSA_SUITE(CLIENT_FLOW(i)) ->
            if :: S[0].at >= FLIGHT1 -> C[i].server = 0
               :: S[1].at >= FLIGHT1 -> C[i].server = 1
               :: C[i].server = EVIL; REACHED(5, "variant 1: a member answers the attacker's own hello"); fi
       :: else ->
            if :: S[0].at >= FLIGHT1 && S[0].hello == i && !RSA_SUITE(FLOW(0)) -> C[i].server = 0
               :: S[1].at >= FLIGHT1 && S[1].hello == i && !RSA_SUITE(FLOW(1)) -> C[i].server = 1
               :: broken == ANY_CERTIFICATE -> C[i].server = EVIL fi
       fi;
       if
       :: C[i].member -> C[i].request = (C[i].flow != V3_PASSWORD); C[i].flag = C[i].request && flag_in_request;
                       if :: automatic && C[i].request -> C[i].flag = 1 - flag_in_request :: skip fi
       :: else -> if :: C[i].request = 0
                     :: C[i].request = 1; if :: C[i].flag = 0 :: C[i].flag = 1 fi fi
       fi;
       /* (under TLS_RSA an altered flight is the attacker's own: nothing in it is signed) */
       if :: C[i].altered = 0 :: C[i].server != EVIL && !RSA_SUITE(CLIENT_FLOW(i)) -> C[i].altered = 1; REACHED(6, "a client goes on after an altered first flight"); fi;
       C[i].at = FLIGHT2 }

  /* An ordinary client: the server's Finished. */
  :: atomic { C[i].at == FLIGHT2 && !C[i].member && C[i].server != EVIL && S[C[i].server].at == PLAIN && SAME_MS1(i, C[i].server) &&
              SAME_FIRST(i, C[i].server) ->
       PROPERTY(i == 1, "no fallback: a run configured for multicast completed a plain handshake (H4)");
       C[i].at = PLAIN; REACHED(7, "a standard handshake between the same two ends completes") }

  /* Variant 1: SMKE, its signature over the transcript and the body verified before anything is decrypted. */
  :: atomic { C[i].at == FLIGHT2 && C[i].member && C[i].flow == V1 ->
       if
       :: S[0].at >= KEYED && FLOW(0) == V1 && SAME_FIRST(i, 0) && EPOCH_ACCEPTABLE(S[0].epoch) -> client_accepts(i, 0)
       :: S[1].at >= KEYED && FLOW(1) == V1 && SAME_FIRST(i, 1) && EPOCH_ACCEPTABLE(S[1].epoch) -> client_accepts(i, 1)
       :: broken == NO_SMKE_SIGNATURE -> /* anyone can encrypt to A, with a key of his own or one he knows */
            C[i].smke = EVIL; C[i].secret = EVIL;
            if :: C[i].epoch = 1 :: C[i].epoch = 2 fi;
            if :: C[i].key = EVIL_KEY :: knows_key[1] -> C[i].key = 1 fi;
            C[i].at = KEYED
       :: broken == NO_SMKE_SIGNATURE && S[1 - i].at >= KEYED && FLOW(1 - i) == V1 && S[1 - i].cert == A ->
            /* ... or replay what the server encrypted to A in another run */
            C[i].smke = 1 - i; C[i].secret = 1 - i; C[i].epoch = S[1 - i].epoch; C[i].key = S[1 - i].epoch;
            C[i].at = KEYED
       fi }
  /* ... the server's Finished; then the client's own, which ends the handshake (P19). */
  :: atomic { C[i].at == KEYED && C[i].flow == V1 && (broken == NO_CLOSING_FINISHED || CLIENT_CHANNEL_KNOWN(i) ||
              (C[i].smke != EVIL && SAME_SMKE(i, C[i].smke))) && EPOCH_ACCEPTABLE(C[i].epoch) ->
       client_installs(i) }

  /* Variant 3: ClientAuthRequest under ms1, with the server's verify_data; only then the password. */
  :: atomic { C[i].at == FLIGHT2 && C[i].member && HAS_PASSWORD(C[i].flow) && C[i].server != EVIL && S[C[i].server].at >= REQUEST &&
              SAME_MS1(i, C[i].server) && (broken == NO_VERIFY_DATA || SAME_FIRST(i, C[i].server)) ->
       PROPERTY(SAME_FIRST(i, C[i].server),
                "proof before password: a password left although the server saw another handshake (H7)");
       C[i].at = RESPONSE; REACHED(8, "a member sends its password") }
  :: atomic { C[i].at == FLIGHT2 && C[i].member && HAS_PASSWORD(C[i].flow) && C[i].server == EVIL ->
       knows_password = 1;
       PROPERTY(false, "password: the attacker learned it (H7)") }

  /* Variants 2, 3: SMKE under ms1, with the server's verify_data (variant 3 has checked it with the request). */
  :: atomic { C[i].member && C[i].flow != V1 && C[i].at == (HAS_PASSWORD(C[i].flow) -> RESPONSE : FLIGHT2) && C[i].server != EVIL &&
              S[C[i].server].at >= KEYED && S[C[i].server].group == 1 && FLOW(C[i].server) == C[i].flow && SAME_MS1(i, C[i].server) &&
              (broken == NO_VERIFY_DATA || HAS_PASSWORD(C[i].flow) || SAME_FIRST(i, C[i].server)) &&
              EPOCH_ACCEPTABLE(S[C[i].server].epoch) ->
       client_accepts(i, C[i].server) }
  :: atomic { C[i].member && C[i].flow != V1 && C[i].at == FLIGHT2 && C[i].server == EVIL && !HAS_PASSWORD(C[i].flow) ->
       C[i].smke = EVIL; C[i].epoch = 2; C[i].key = EVIL_KEY; C[i].at = KEYED;
       PROPERTY(false, "key from the server alone: a member accepted SMKE from the attacker (H8)") }
  /* ... the second ChangeCipherSpec in the announced order, and the client's second Finished. */
  :: atomic { C[i].at == KEYED && C[i].flow != V1 && (!ORDER_CLAIM5(C[i].flow) || S[C[i].smke].at >= SWITCHED) ->
       if
       :: broken == NO_CLOSING_FINISHED || broken == NO_SERVER_FINISHED -> client_installs(i)
       :: else -> C[i].at = FINISHED
       fi }
  /* ... the server's second Finished (H3). */
  :: atomic { C[i].at == FINISHED && C[i].flow != V1 && (CLIENT_CHANNEL_KNOWN(i) || (S[C[i].smke].at >= IN_USE && SAME_SMKE(i, C[i].smke))) &&
              EPOCH_ACCEPTABLE(C[i].epoch) ->
       client_installs(i) }

  /* After the handshake: GroupUpdate with the next epoch, under the channel's keys. */
  :: atomic { C[i].at == IN_USE && C[i].epoch == 1 ->
       if
       :: C[i].smke != EVIL && S[C[i].smke].at == UPDATED && SAME_SMKE(i, C[i].smke) -> C[i].key = 2
       :: CLIENT_CHANNEL_KNOWN(i) -> C[i].key = EVIL_KEY
       fi;
       C[i].epoch = 2;
       PROPERTY(C[i].key == 2,
                "key from the server alone: a member took an update that the key server did not send (H2)");
       remembered = 2;
       C[i].at = UPDATED; REACHED(9, "a member takes epoch 2 by GroupUpdate") }
  od
}

/* ---------------------------------------------------------------- the key server */
/* A client of A's agrees with server run j about everything up to SMKE and has sent its closing Finished. */
#define FINISHED_BY(i, j) (C[i].member && SAME_SMKE(i, j) && (C[i].at >= FINISHED && C[i].at != PLAIN))

inline server_counts(j) {
  PROPERTY(S[j].group != 0, "no fallback: group state for a peer that ran a standard handshake (H4)");
  if
  :: IDENTITY(j) == A ->
       PROPERTY(!SERVER_CHANNEL_KNOWN(j), "control channel: another member can read and forge it (H2)");
       PROPERTY(FINISHED_BY(0, j) || FINISHED_BY(1, j),
                "agreement: the server counts a member that has not finished with the same group, epoch and key (H3)");
       REACHED(10, "the server counts the member")
  :: else -> REACHED(11, "the server counts the attacker's member")
  fi;
  S[j].at = IN_USE
}

/* The client's second flight of client run i, delivered. Its CertificateVerify and its Finished1 speak for i's transcript. */
#define CARRIES(i, j)                                                                                                  \
  (C[i].at >= FLIGHT2 && !RSA_SUITE(CLIENT_FLOW(i)) && C[i].request == S[j].request &&                                 \
   (SAME_HELLOS(i, j) || (bare && !S[j].request)))

proctype Server(byte j) {
  do
  /* ClientHello: a client's own, with whatever the attacker changed, or all his. The answer bears the server's random. */
  :: atomic { S[j].at == IDLE ->
       if :: C[0].at >= HELLO -> S[j].hello = 0
          :: C[1].at >= HELLO -> S[j].hello = 1
          :: S[j].hello = EVIL fi;
       if :: S[j].group = 0 :: S[j].group = 1 :: S[j].group = 2 fi;
       if :: S[j].altered = 0 :: S[j].hello != EVIL && !RSA_SUITE(FLOW(j)) -> S[j].altered = 1 fi;
       if
       :: S[j].group == 0 -> if :: S[j].request = 0 :: S[j].request = 1 fi
       :: else -> S[j].request = (FLOW(j) != V3_PASSWORD)
       fi;
       if
       :: S[j].group == 0 && S[j].hello != EVIL && C[S[j].hello].member ->
            REACHED(12, "the group is stripped from a member's hello")
       :: else
       fi;
       S[j].at = FLIGHT1 }

  /* The client's second flight. */
  :: atomic { S[j].at == FLIGHT1 && RSA_SUITE(FLOW(j)) ->
       if :: C[0].at >= FLIGHT2 && SAME_HELLOS(0, j) -> S[j].cert = A
          :: C[1].at >= FLIGHT2 && SAME_HELLOS(1, j) -> S[j].cert = A
          :: S[j].cert = M fi;
       S[j].at = FLIGHT2 }
  :: atomic { S[j].at == FLIGHT1 && !RSA_SUITE(FLOW(j)) ->
       if :: CARRIES(0, j) -> S[j].share = 0; S[j].cert = CLIENT_CERT(0)
          :: CARRIES(1, j) -> S[j].share = 1; S[j].cert = CLIENT_CERT(1)
          :: S[j].share = EVIL; S[j].cert = (S[j].request -> M : NONE)
          /* a client's ephemeral key under the attacker's certificate: Finished1 would show it */
          :: bare && S[j].request && C[0].at >= FLIGHT2 && !RSA_SUITE(CLIENT_FLOW(0)) -> S[j].share = 0; S[j].cert = M
          :: bare && S[j].request && C[1].at >= FLIGHT2 && !RSA_SUITE(CLIENT_FLOW(1)) -> S[j].share = 1; S[j].cert = M
       fi;
       S[j].at = FLIGHT2 }

  /* Standard: CCS, Finished, and never anything of a group. */
  :: atomic { S[j].at == FLIGHT2 && FLOW(j) == STANDARD -> S[j].at = PLAIN }

  /* Variant 3: the request; the answer under ms1. */
  :: atomic { S[j].at == FLIGHT2 && HAS_PASSWORD(FLOW(j)) -> S[j].at = REQUEST }
  :: atomic { S[j].at == REQUEST ->
       if :: C[0].at >= RESPONSE && C[0].at != PLAIN && SAME_MS1(0, j) -> S[j].user = A
          :: C[1].at >= RESPONSE && C[1].at != PLAIN && SAME_MS1(1, j) -> S[j].user = A
          :: S[j].share == EVIL -> S[j].user = M
          :: S[j].share == EVIL && knows_password -> S[j].user = A
       fi;
       if :: S[j].cert == NONE || S[j].cert == S[j].user -> S[j].at = RESPONSE
          :: else -> S[j].user = NONE fi }

  /* SMKE with the current epoch, to members that the certificate and revocation check admits. In variant 1 CCS and
   * Finished follow at once (P17); in the order of claim 5 CCS2 does. A party that can read it holds the epoch from here
   * on. */
  :: atomic { S[j].at == (HAS_PASSWORD(FLOW(j)) -> RESPONSE : FLIGHT2) && FLOW(j) != STANDARD ->
       if
       :: IDENTITY(j) == M && revoked -> REACHED(13, "the revoked member is refused"); S[j].at = PLAIN
       :: else ->
            S[j].epoch = epoch;
            if :: SERVER_SECRET_KNOWN(j) -> learn(S[j].epoch) :: else fi;
            S[j].at = KEYED;
            if
            :: bare && S[j].share < 2 && SAME_MS1(S[j].share, j) && !SAME_FIRST(S[j].share, j) &&
               C[S[j].share].member && S[j].group == 1 ->
                 REACHED(14, "SMKE to a client that saw another handshake")
            :: else
            fi;
            if :: broken == NO_CLOSING_FINISHED -> server_counts(j) :: else fi
       fi }
  :: atomic { S[j].at == KEYED && ORDER_CLAIM5(FLOW(j)) -> S[j].at = SWITCHED }

  /* The client's closing Finished. */
  :: atomic { (S[j].at == SWITCHED || (S[j].at == KEYED && !ORDER_CLAIM5(FLOW(j)))) &&
              (FINISHED_BY(0, j) || FINISHED_BY(1, j) || SERVER_CHANNEL_KNOWN(j)) ->
       server_counts(j) }

  /* The next epoch, to members that are not shut out. */
  :: atomic { S[j].at == IN_USE && S[j].epoch == 1 && epoch == 2 && IDENTITY(j) == A ->
       if :: SERVER_CHANNEL_KNOWN(j) -> learn(2) :: else fi;
       S[j].at = UPDATED }

  /* Rekey without M. Any run may be under way. */
  :: atomic { epoch == 1 -> revoked = 1; epoch = 2 }
  od
}

init {
  atomic {
    c_code {
      now.flow = setting("SEALCAST_MODEL_FLOW");
      now.automatic = setting("SEALCAST_MODEL_AUTOMATIC");
      now.other = setting("SEALCAST_MODEL_OTHER");
      now.broken = setting("SEALCAST_MODEL_BROKEN");
      now.flag_in_request = setting("SEALCAST_MODEL_FLAG_IN_REQUEST");
      now.bare = setting("SEALCAST_MODEL_BARE");
    }
    knows_key[1] = 1;
    run Client(0); run Client(1); run Server(0); run Server(1)
  }
}
