/// The catalogue's clauses about options.
/// Scripts/catalogue.py makes this file of Docs/conformance/clauses.tsv.
extension Catalogue {
  static let textOPT = #"""
    OPT-001	server	MUST	option	Fixed newstyle negotiation	Every option reply starts with magic 0003e889045565a9	any OPT: first 8 \#
    bytes of reply	yes	yes
    OPT-002	server	MUST	option	Fixed newstyle negotiation	Reply echoes the option number it answers	OPT(LIST), OPT(INFO), \#
    OPT(0x7fff): u32 at +8 equals option sent (also for 0xffffffff)	yes	yes
    OPT-003	server	MUST	option	Fixed newstyle negotiation	Every option except EXPORT_NAME gets zero or more intermediate replies \#
    and exactly one final reply (ACK or ERR)	OPT(x) then wait 150 ms: no bytes after final reply	yes	yes
    OPT-004	server	MUST	option	Baseline	Unknown option gets ERR_UNSUP (0x80000001)	OPT(0), OPT(4), OPT(12), OPT(0x7fff), \#
    OPT(0x80000000), OPT(0xffffffff): all ERR_UNSUP	yes	yes
    OPT-005	server	MUST	option	Baseline	After an unknown option the next message is parsed correctly (data skipped by length)	\#
    OPT(0x7fff, 100 / 4096 / 65536 / 1 MiB bytes) -> ERR_UNSUP; then OPT(INFO) succeeds	yes	yes
    OPT-006	server	MUST	option	Option types: NBD_OPT_PEEK_EXPORT	Withdrawn option 4 is treated as unknown	OPT(4): ERR_UNSUP, in \#
    sync	yes	yes
    OPT-007	server	MUST	option	Option reply types: NBD_REP_ACK	ACK carries no data	every ACK seen in the run has length 0	yes	yes
    OPT-008	server	MUST	option	Option reply types	Error replies have bit 31 set; optional data is a displayable UTF-8 string \#
    without NUL, at most 4096 bytes	check every ERR reply of the run	yes	yes
    OPT-009	server	MUST	option	Termination of the session during option haggling	Server does not hard-disconnect for a legal \#
    option it merely refuses; it keeps answering with errors	after ERR_UNKNOWN/ERR_POLICY/ERR_UNSUP send 5 more legal options: \#
    each answered	yes	yes
    OPT-010	server	MAY	option	Fixed newstyle negotiation	A repeated state-changing option may be refused with ERR_INVALID	OPT(SR) \#
    twice: second is ACK or ERR_INVALID; either way SR stays on (GO then READ is structured)	yes	yes
    OPT-011	server	MAY	option	Termination of the session during option haggling	An absurd option length may be treated as denial \#
    of service	OPT(0x7fff,len=0xffffffff) with no data: EOF, ERR_TOO_BIG/ERR_UNSUP or waiting are conforming; a crash or \#
    unbounded allocation is not (reconnect afterwards)	yes	partly
    OPT-012	server	SHOULD	option	Termination of the session during option haggling	A server being shut down answers further \#
    options (not ABORT) with ERR_SHUTDOWN	needs control of server process: negotiate, SIGTERM server, OPT(LIST): ERR_SHUTDOWN \#
    (0x80000007) or still served	yes	partly
    OPT-013	server	SHOULD	option	Conventions	Strings the server sends are at most 256 bytes (MUST be at most 4096), valid UTF-8, \#
    no NUL	check every name, description, context name, error text received	yes	yes
    OPT-014	server	MUST	option	Option types: NBD_OPT_ABORT	ABORT is answered with ACK	OPT(ABORT): ACK for option 2; then EOF or a \#
    connection that the client closes (both pass)	yes	yes
    OPT-015	server	SHOULD	option	Option types: NBD_OPT_ABORT	Data attached to ABORT is ignored, not rejected	OPT(ABORT,"bye!") \#
    and OPT(ABORT, 8000 bytes): ACK	yes	yes
    OPT-016	server	SHOULD	option	Option types: NBD_OPT_ABORT	Client may send ABORT and close at once; server copes	OPT(ABORT) + \#
    close(); new connection works	yes	yes
    OPT-017	server	MUST	option	Baseline	ABORT and its reply are implemented by all servers	as OPT ABORT above; ERR_UNSUP is a \#
    failure	yes	yes
    OPT-018	server	MUST	option	Baseline	LIST is implemented by all servers	OPT(LIST): not ERR_UNSUP \#
    (ERR_POLICY/ERR_TLS_REQD/ERR_SHUTDOWN acceptable)	yes	yes
    OPT-019	server	MUST	option	Option types: NBD_OPT_LIST	LIST yields only REP_SERVER replies, then ACK or an error	OPT(LIST): \#
    types are 2*, then 1 or >=0x80000000	yes	yes
    OPT-020	server	MUST	option	Option reply types: NBD_REP_SERVER	REP_SERVER name length is at most reply length minus 4	for each \#
    REP_SERVER: u32 namelen <= len-4	yes	yes
    OPT-021	server	MUST	option	Option reply types: NBD_REP_SERVER	Bytes after the name form a displayable string	remaining bytes \#
    valid UTF-8, no NUL	yes	yes
    OPT-022	server	MUST	option	Option reply types: NBD_REP_SERVER	Names listed are usable with INFO/GO/EXPORT_NAME	for each \#
    listed name OPT(INFO,name): ACK (or TLS_REQD / POLICY)	yes	yes
    OPT-023	server	SHOULD	option	Option types: NBD_OPT_LIST	LIST with data is rejected with ERR_INVALID	OPT(LIST,"abcd"), \#
    OPT(LIST,8000 bytes): ERR_INVALID then in sync [HD]	yes	yes
    OPT-024	server	MAY	option	Option types: NBD_OPT_LIST	LIST may be refused by policy	OPT(LIST): ERR_POLICY acceptable; skip \#
    list-dependent clauses	yes	yes
    OPT-025	server	MUST	option	Option types: NBD_OPT_EXPORT_NAME	EXPORT_NAME success has no option-reply header: u64 size, u16 \#
    transmission flags	OPT(EXPORT_NAME,name): first 10 bytes parse as size/flags equal to INFO_EXPORT	yes	yes
    OPT-026	server	MUST	option	Newstyle negotiation	Without C_NO_ZEROES 124 zero bytes follow	cflags=1: 134 bytes total, last 124 \#
    all zero, then READ works	yes	yes
    OPT-027	server	MUST	option	Client flags	With C_NO_ZEROES negotiated the 124 bytes are not sent	cflags=3: 10 bytes, silence \#
    200 ms, READ works	yes	yes
    OPT-028	server	MUST	option	Option types: NBD_OPT_EXPORT_NAME	Unknown export: session is terminated without sending export \#
    data	OPT(EXPORT_NAME,random name): EOF with 0 bytes (skip if server accepts any name, see INFO)	yes	yes
    OPT-029	server	MAY	option	Option types: NBD_OPT_EXPORT_NAME	Zero-length name selects the default export	OPT(EXPORT_NAME,""): \#
    either default export or EOF; consistent with OPT(INFO,"")	yes	yes
    OPT-030	server	SHOULD	option	Maximum interoperability	EXPORT_NAME supported besides INFO/GO	as above not EOF for an export \#
    that INFO accepts (unless BLOCK_SIZE_REQD or TLS)	yes	yes
    OPT-031	server	SHOULD	option	Conventions	An export name with an embedded NUL is not treated as the name up to the NUL	\#
    OPT(EXPORT_NAME,name+00): EOF expected; accepting it as name is a failure	yes	yes
    OPT-032	server	SHOULD	option	Conventions	An export name above 4096 bytes is not accepted	OPT(EXPORT_NAME, 4097 bytes): EOF	\#
    yes	yes
    OPT-033	server	MUST	option	Transmission flags	EXPORT_NAME and GO report the same size; flags equal (or documented reason)	\#
    compare EXPORT_NAME 10 bytes with GO INFO_EXPORT on two connections	yes	yes
    OPT-034	server	MAY	option	Size constraints	A server needing block-size agreement may refuse EXPORT_NAME by hard disconnect	\#
    only if INFO without BLOCK_SIZE request gives BLOCK_SIZE_REQD: EXPORT_NAME EOF or success are both fine	yes	yes
    OPT-035	server	MUST	option	Baseline	INFO and GO are implemented	OPT(INFO), OPT(GO): not ERR_UNSUP	yes	yes
    OPT-036	server	MUST	option	Option types: NBD_OPT_INFO and NBD_OPT_GO	On success at least one REP_INFO of type INFO_EXPORT \#
    precedes the ACK	OPT(INFO,name,0 reqs): contains type 0 before ACK	yes	yes
    OPT-037	server	MUST	option	Option reply types: NBD_INFO_EXPORT	INFO_EXPORT reply length is 12	length check	yes	yes
    OPT-038	server	MUST	option	Option reply types: NBD_INFO_NAME	INFO_NAME length at least 2, payload a valid string	\#
    OPT(INFO,name,[1])	yes	yes
    OPT-039	server	MAY	option	Option reply types: NBD_INFO_NAME	INFO_NAME may be omitted when the request used the canonical \#
    name; otherwise is the name LIST shows	OPT(INFO,name,[1]): if present equals a LIST name	yes	yes
    OPT-040	server	MUST	option	Option reply types: NBD_INFO_DESCRIPTION	INFO_DESCRIPTION length at least 2 and equals the LIST \#
    description	OPT(INFO,name,[2]) vs LIST trailing text	yes	yes
    OPT-041	server	MUST	option	Option reply types: NBD_INFO_BLOCK_SIZE	INFO_BLOCK_SIZE length is 14	OPT(INFO,name,[3])	yes	yes
    OPT-042	server	SHOULD	option	Option reply types: NBD_REP_INFO	Each information type appears at most once per reply	\#
    OPT(INFO,name,[0,1,2,3]): no type repeated	yes	yes
    OPT-043	server	MUST	option	Option types: NBD_OPT_INFO and NBD_OPT_GO	Information requests the server does not understand are \#
    ignored	OPT(INFO,name,[99,0xffff,3]): ACK, same as without them	yes	yes
    OPT-044	server	MAY	option	Option types: NBD_OPT_INFO and NBD_OPT_GO	Server may send information not asked for and in any \#
    order	OPT(INFO,name,[]): extra types accepted	yes	yes
    OPT-045	server	MUST	option	Option types: NBD_OPT_INFO and NBD_OPT_GO	Server does not disconnect or go out of sync on a long \#
    request list	OPT(INFO,name,[3,4..1003], of which 1000 unknown): ACK	yes	yes
    OPT-046	server	SHOULD	option	Option types: NBD_OPT_INFO and NBD_OPT_GO	Unknown export is reported as ERR_UNKNOWN (0x80000006) \#
    (or TLS_REQD before TLS)	OPT(INFO,random): ERR_UNKNOWN; OPT(GO,random): ERR_UNKNOWN (skip if any name accepted)	yes	yes
    OPT-047	server	SHOULD	option	Option types: NBD_OPT_INFO and NBD_OPT_GO	No REP_INFO before ERR_UNKNOWN	same probe: zero \#
    REP_INFO	yes	yes
    OPT-048	server	SHOULD	option	Option types: NBD_OPT_INFO and NBD_OPT_GO	A name length field larger than data length minus 6 is \#
    refused and its data skipped	OPT(INFO, namelen=len+50) and namelen=0xffffffff: ERR_INVALID then in sync [HD]; hang or reading \#
    following bytes is a failure	yes	yes
    OPT-049	server	SHOULD	option	Option types: NBD_OPT_INFO and NBD_OPT_GO	INFO/GO data shorter than 6 bytes is refused, not \#
    waited for	OPT(INFO,0 bytes), (1 byte), (5 bytes): ERR_INVALID then in sync [HD]; no reply in 2 s is a failure	yes	yes
    OPT-050	server	SHOULD	option	Option types: NBD_OPT_INFO and NBD_OPT_GO	Request count larger than the data present is refused	\#
    OPT(INFO,name,count=4 with 1 item): ERR_INVALID then in sync [HD]	yes	yes
    OPT-051	server	SHOULD	option	Option types: NBD_OPT_INFO and NBD_OPT_GO	Data beyond the declared request list is refused or \#
    skipped, never parsed as the next option	OPT(INFO,name,count=1 with 2 items) and 1 trailing byte: ERR_INVALID (or ACK) then \#
    in sync [HD]	yes	yes
    OPT-052	server	MUST	option	Option types: NBD_OPT_INFO and NBD_OPT_GO	GO right after a successful INFO with identical \#
    parameters returns the same information set	OPT(INFO,name,[0,1,2,3]) ACK; OPT(GO,same): multiset of REP_INFO payloads equal	\#
    yes	yes
    OPT-053	server	MUST	option	Option types: NBD_OPT_INFO and NBD_OPT_GO	GO success sends no padding after ACK regardless of \#
    NO_ZEROES	cflags=1, OPT(GO): after ACK silence 200 ms; READ reply parses	yes	yes
    OPT-054	server	MUST	option	Option types: NBD_OPT_INFO and NBD_OPT_GO	After GO ACK the connection is in transmission \#
    immediately	OPT(GO); REQ(READ 0,512) gets a reply	yes	yes
    OPT-055	server	MUST	option	Option types: NBD_OPT_INFO and NBD_OPT_GO	A failed GO leaves haggling open	OPT(GO,random) \#
    ERR_UNKNOWN; OPT(GO,good): ACK	yes	yes
    OPT-056	server	MUST	option	Option types: NBD_OPT_INFO and NBD_OPT_GO	INFO success does not enter transmission	OPT(INFO) ACK; \#
    OPT(LIST) answered	yes	yes
    OPT-057	server	MAY	option	Option types: NBD_OPT_INFO and NBD_OPT_GO	Empty name means default export	OPT(INFO,""): ACK or \#
    ERR_UNKNOWN; same verdict as EXPORT_NAME ""	yes	yes
    OPT-058	server	MUST	option	Conventions	Name of exactly 4096 bytes is syntactically legal	OPT(INFO,4096 x "a"): ERR_UNKNOWN or \#
    ACK, not ERR_INVALID/EOF	yes	yes
    OPT-059	server	SHOULD	option	Conventions	Name above 4096 bytes is refused and skipped	OPT(INFO,4097) and 40000 bytes: \#
    ERR_INVALID/TOO_BIG/UNKNOWN then in sync [HD]	yes	yes
    OPT-060	server	SHOULD	option	Conventions	Name with NUL is refused	OPT(INFO,"a\0b"), OPT(INFO,name+"\0junk"): \#
    ERR_INVALID/UNKNOWN; ACK is a failure [HD]	yes	yes
    OPT-061	server	SHOULD	option	Conventions	Name that is not UTF-8 is not matched to any export	OPT(INFO,ff fe): \#
    ERR_INVALID/UNKNOWN (skip if any name accepted) [HD]	yes	yes
    OPT-062	server	MUST	option	Option types: NBD_OPT_INFO and NBD_OPT_GO	ERR_BLOCK_SIZE_REQD is not sent when BLOCK_SIZE was \#
    requested	OPT(INFO,name,[3]), OPT(GO,name,[3]): not 0x80000008	yes	yes
    OPT-063	server	SHOULD	option	Option types: NBD_OPT_INFO and NBD_OPT_GO	ERR_BLOCK_SIZE_REQD is preceded by an INFO_BLOCK_SIZE	\#
    OPT(INFO,name,[]): if 0x80000008 then a type 3 came first	yes	yes
    OPT-064	server	SHOULD	option	Option types: NBD_OPT_INFO and NBD_OPT_GO	ERR_BLOCK_SIZE_REQD is not used by a server with \#
    default constraints	if BLOCK_SIZE says min=1 and max>=2^25: OPT(GO,name,[]) not 0x80000008	yes	yes
    OPT-065	server	SHOULD	option	Maximum interoperability	A server with size constraints still admits clients that do not ask	\#
    OPT(GO,name,[]) succeeds	yes	yes
    OPT-066	server	SHOULD	option	Option types: NBD_OPT_STRUCTURED_REPLY	STRUCTURED_REPLY with data is refused with ERR_INVALID	\#
    OPT(SR,"x"): ERR_INVALID (or ERR_UNSUP) [HD]	yes	yes
    OPT-067	server	MUST	option	Option types: NBD_OPT_STRUCTURED_REPLY	A refused STRUCTURED_REPLY does not switch the mode	\#
    OPT(SR,"x") ERR; OPT(GO); READ: simple reply magic 67446698	yes	yes
    OPT-068	server	MUST	option	Option types: NBD_OPT_STRUCTURED_REPLY	After ACK every READ is answered with structured chunks	\#
    OPT(SR) ACK; GO; READ: magic 668e33ef	yes	yes
    OPT-069	server	MUST	option	Option types: NBD_OPT_STRUCTURED_REPLY	Without ACK every reply is simple	GO without SR; READ, \#
    unknown cmd: magic 67446698	yes	yes
    OPT-070	server	MUST	option	Option types: NBD_OPT_STRUCTURED_REPLY	SR survives later LIST, INFO and failed GO	\#
    OPT(SR),OPT(LIST),OPT(GO,random),OPT(GO,good); READ structured	yes	yes
    OPT-071	server	SHOULD	option	Option types: NBD_OPT_STRUCTURED_REPLY	Extensions depending on SR are not offered before SR	GO \#
    without SR: SEND_DF (bit 7) and bit 12 clear	yes	yes
    OPT-072	server	MUST	option	Fixed newstyle negotiation	Haggling supports several options in one session	18 x \#
    OPT(INFO,name,[3]) then GO ok	yes	yes
    OPT-073	server	MAY	option	Termination of the session during option haggling	A server may treat a very long negotiation as \#
    denial of service	200 x OPT(INFO): all answered, or EOF; keep every other probe session below 20 options	yes	yes
    OPT-074	server	SHOULD	option	Option types: NBD_OPT_LIST	LIST may be repeated in one session (it changes no state)	OPT(LIST) \#
    twice: same answer	yes	yes
    OPT-075	client	MUST	option	Fixed newstyle negotiation	Client sends no option until the final reply of the previous one	\#
    scripted server holds the LIST/INFO/SR reply 300 ms: no bytes arrive meanwhile	yes	yes
    OPT-076	client	MUST	option	Termination of the session during option haggling	Client leaves negotiation by soft disconnect \#
    (ABORT), not by closing	caller cancels or export not found: server sees OPT(2) with length 0 before EOF	yes	yes
    OPT-077	client	MUST	option	Termination of the session during option haggling	Client soft-disconnects on ERR_SHUTDOWN	server \#
    answers GO with 0x80000007: client sends ABORT, surfaces shutdown error, no retry on the same connection	yes	yes
    OPT-078	client	MAY	option	Termination of the session during option haggling	Client may hard-disconnect on a server MUST \#
    violation	server replies with wrong reply magic: client closes without further reads	yes	yes
    OPT-079	client	SHOULD	option	Option types: NBD_OPT_ABORT	Client tolerates server closing after ABORT without a reply	server \#
    closes on ABORT with/without ACK: disconnect() returns success	yes	yes
    OPT-080	client	SHOULD	option	Option types: NBD_OPT_ABORT	Client attaches no data to ABORT	length field == 0	yes	yes
    OPT-081	client	MUST	option	Option types: NBD_OPT_LIST	Client attaches no data to LIST	length field == 0	yes	yes
    OPT-082	client	MUST	option	Option types: NBD_OPT_STRUCTURED_REPLY	Client attaches no data to STRUCTURED_REPLY	length field == \#
    0	yes	yes
    OPT-083	client	SHOULD	option	Option types: NBD_OPT_STRUCTURED_REPLY	Client treats ERR_UNSUP for SR as simple-reply mode	\#
    server answers ERR_UNSUP: client proceeds; READ with simple replies works; DF never set	yes	yes
    OPT-084	client	SHOULD	option	Option types: NBD_OPT_EXPORT_NAME	Client prefers GO over EXPORT_NAME	first export-selecting \#
    option is 7	yes	yes
    OPT-085	client	SHOULD	option	Option types: NBD_OPT_INFO and NBD_OPT_GO	Client falls back to EXPORT_NAME on ERR_UNSUP for \#
    INFO/GO	server: GO -> ERR_UNSUP; client sends OPT(1,name) and works with and without zero padding	yes	yes
    OPT-086	client	MUST	option	Option types: NBD_OPT_INFO and NBD_OPT_GO	Client name length field is at most data length minus 6	\#
    parse GO/INFO data	yes	yes
    OPT-087	client	MUST	option	Option types: NBD_OPT_INFO and NBD_OPT_GO	Client never repeats an information request	request list \#
    has distinct values	yes	yes
    OPT-088	client	MUST	option	Option types: NBD_OPT_INFO and NBD_OPT_GO	Client ignores information types it does not know	server \#
    inserts REP_INFO type 0x7777 of 2, 3 and 4096 bytes: GO succeeds	yes	yes
    OPT-089	client	MUST	option	Option reply types: NBD_REP_INFO	Client does not depend on the order of REP_INFO	INFO_EXPORT sent \#
    last / first / middle: same result	yes	yes
    OPT-090	client	MUST	option	Option types: NBD_OPT_INFO and NBD_OPT_GO	Client sends no option after GO ACK	next bytes after ACK \#
    begin with request magic	yes	yes
    OPT-091	client	MAY	option	Option types: NBD_OPT_INFO and NBD_OPT_GO	Client may refuse when information it requires is missing	\#
    GO without BLOCK_SIZE reply: client uses defaults or errors with soft disconnect	yes	yes
    OPT-092	client	SHOULD	option	Option types: NBD_OPT_INFO and NBD_OPT_GO	Client reacts to ERR_BLOCK_SIZE_REQD by asking again \#
    with BLOCK_SIZE	server: GO [] -> 0x80000008; client resends GO with item 3 (only if it had not asked)	yes	yes
    OPT-093	client	MUST	option	Conventions	Client sends only names that are UTF-8, NUL-free and at most 4096 bytes	API call with \#
    4097-byte name or NUL: local error, nothing sent	yes	yes
    OPT-094	client	SHOULD	option	Option types: NBD_OPT_EXPORT_NAME	Client reports EOF after EXPORT_NAME as export refused	server \#
    closes with 0 bytes: distinct error, no hang, no crash	yes	yes
    OPT-095	client	SHOULD	option	Fixed newstyle negotiation	State-changing options are not sent twice	count of SR/STARTTLS per \#
    session <= 1; SET_META only when the selection changes	yes	yes
    """#
}
