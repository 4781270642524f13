/// The catalogue's clauses about the transmission phase.
/// Scripts/catalogue.py makes this file of Docs/conformance/clauses.tsv.
extension Catalogue {
  static let textTX = #"""
    TX-001	server	MUST	transmission	Transmission flags	HAS_FLAGS (bit 0) is always set	INFO_EXPORT flags & 1	yes	yes
    TX-002	server	MUST	transmission	Transmission flags	Flags are only set for features supported (each advertised command \#
    succeeds or fails meaningfully)	FLUSH, TRIM, ZEROES accepted when advertised: not EINVAL for a valid request; CACHE may \#
    always fail with EINVAL	write	yes
    TX-003	server	MUST	transmission	Transmission flags	SEND_DF is clear without SR	GO without SR: bit 7 == 0	yes	yes
    TX-004	server	MUST	transmission	Transmission flags	SEND_DF set with SR if DF works	SR, GO: if bit 7 clear then READ with DF \#
    must be EINVAL; if set READ DF 64 KiB ok	yes	yes
    TX-005	server	MUST	transmission	Transmission flags	FAST_ZERO flag only together with WRITE_ZEROES	bit 11 implies bit 6	yes	yes
    TX-006	server	MUST	transmission	Transmission flags	Undefined flag bits 13..15 and experimental 9, 12 clear unless negotiated	\#
    flags & 0xf200 == 0 (warn)	yes	yes
    TX-007	server	MUST	transmission	Transmission flags	READ_ONLY export refuses every write	RO export: WRITE FUA of what is \#
    there; on a scratch export TRIM, ZEROES, WRITE past end, too: error, in sync [HD]	yes	yes
    TX-008	server	SHOULD	transmission	Error values	...with EPERM	RO: WRITE of what is there, and on a scratch export TRIM 512: \#
    error == 1; TRIM not advertised: EINVAL passes too [HD]	yes	yes
    TX-009	server	MUST	transmission	Request message	Payload of a refused WRITE is consumed	RO or out-of-range WRITE 64 KiB \#
    followed by READ in one segment: READ answered correctly [HD]	write	yes
    TX-010	server	MUST	transmission	Transmission	Cookie is echoed bit for bit	cookies 0, 1, 2^63+1, 2^64-1: echoed on success and \#
    on error	yes	yes
    TX-011	server	MUST	transmission	Transmission	Each request gets exactly one complete reply	N requests then 200 ms silence: N \#
    replies	yes	yes
    TX-012	server	MAY	transmission	Transmission	Replies may be out of order; all must arrive	32 READs pipelined with distinct \#
    cookies: set of cookies equal, data right for each	yes	yes
    TX-013	server	MUST	transmission	Transmission	Server copes with equal cookies in flight (opaque)	4 READs same cookie: 4 \#
    replies	yes	yes
    TX-014	server	MUST	transmission	Transmission	Deep pipelining does not deadlock	256 READ 4 KiB requests written before \#
    reading: all answered (client must read concurrently for bigger totals)	yes	yes
    TX-015	server	MUST	transmission	(implied: byte stream)	Request framing independent of segmentation	28-byte header one byte \#
    per write; 10 requests in one write	yes	yes
    TX-016	server	MAY	transmission	Terminating the transmission phase	Bad request magic is a client violation: EOF or EINVAL, \#
    never data	magic 0x12345678, 0x12560953 (historic), 0x21e41c71 (extended, not negotiated): EOF or error	yes	yes
    TX-017	server	MUST	transmission	Simple reply message	Without SR all replies use magic 67446698, also for unknown commands	no \#
    SR: READ, FLUSH, cmd 99, BLOCK_STATUS	yes	yes
    TX-018	server	MUST	transmission	Request types: NBD_CMD_READ	Simple READ success carries exactly length bytes	READ 1, 511, \#
    512, 4096, 1 MiB at 0, 1, end-len: next reply in sync	yes	yes
    TX-019	server	MUST	transmission	Request types: NBD_CMD_READ	READ error carries no payload	READ past end, no SR: 16 bytes only \#
    [HD]	yes	yes
    TX-020	server	SHOULD	transmission	Request types: NBD_CMD_READ	A failing READ has an error code set and the session may go on \#
    (a disconnect afterwards is allowed)	READ past end then READ 0,512	yes	yes
    TX-021	server	SHOULD	transmission	Error values	READ beyond the end gets EINVAL	READ(size-512,1024), (size,512), (2^63,512), \#
    (2^64-1,2), (2^64-511,1024): EINVAL [HD]	yes	yes
    TX-022	server	SHOULD	transmission	Request types: NBD_CMD_READ	Zero-length READ does not disconnect	READ(0,0), READ(size,0): \#
    any reply with no data; in sync	yes	yes
    TX-023	server	MUST	transmission	Request types: NBD_CMD_READ	READ returns what was last written	WRITE pattern, READ back (same \#
    and new connection)	write	yes
    TX-024	server	MUST	transmission	Request types: NBD_CMD_WRITE	WRITE data is visible after its reply	WRITE 1, 512, 4096, 1 MiB, \#
    unaligned (if min=1): READ back	write	yes
    TX-025	server	SHOULD	transmission	Error values	WRITE beyond the end gets ENOSPC	WRITE(size-512,1024), (size,512), (2^63,512), \#
    (2^64-511,1024): 28; nothing modified [HD]	write	yes
    TX-026	server	SHOULD	transmission	Request types: NBD_CMD_WRITE	Zero-length WRITE does not disconnect	WRITE(0,0): any reply, \#
    in sync	write	yes
    TX-027	server	MUST	transmission	Command flags	FUA accepted on every command when SEND_FUA is set	FUA with READ, WRITE, FLUSH, \#
    TRIM, CACHE, ZEROES, BLOCK_STATUS: not EINVAL because of FUA	write	yes
    TX-028	server	SHOULD	transmission	Error values	FUA not advertised: EINVAL	if SEND_FUA clear: WRITE FUA: EINVAL (success = \#
    warn) [HD]	write	yes
    TX-029	server	MUST	transmission	Ordering of messages and writes	FUA/FLUSH reply only after data is on stable storage	needs \#
    crash test or server trace (qemu/nbdkit log filter); not provable on the wire	write	no
    TX-030	server	MUST	transmission	Request types: NBD_CMD_DISC	DISC: server closes the connection, sends no reply	REQ(DISC): EOF \#
    with 0 bytes	yes	yes
    TX-031	server	MUST	transmission	Request types: NBD_CMD_DISC	DISC: outstanding requests are completed first	15 WRITEs + DISC \#
    in one segment; reconnect: all persisted (fail if not); 15 replies before EOF (warn if missing, ambiguity A8)	write	yes
    TX-032	server	MUST	transmission	Request types: NBD_CMD_DISC	DISC is honoured with unexpected flags or non-zero fields	\#
    REQ(DISC,off=512,len=512); flags 0x8000: EOF; any reply bytes are a deviation [client violation]	yes	partly
    TX-033	server	MUST	transmission	Command flags	DISC with FUA is honoured when SEND_FUA is set (FUA valid on all commands; DISC \#
    has no reply)	REQ(flags=1,DISC): EOF with 0 bytes	yes	yes
    TX-034	server	MAY	transmission	Request types: NBD_CMD_DISC	After DISC the server accepts new connections	reconnect and GO \#
    (skip for one-shot servers)	yes	yes
    TX-035	server	MUST	transmission	Request types: NBD_CMD_FLUSH	FLUSH works when SEND_FLUSH is set	FLUSH(0,0): success (on RO \#
    exports too if advertised)	yes	yes
    TX-036	server	SHOULD	transmission	Error values	FLUSH not advertised: EINVAL	if bit 2 clear: FLUSH: EINVAL (success = warn) \#
    [HD]	yes	yes
    TX-037	server	MAY	transmission	Request types: NBD_CMD_FLUSH	FLUSH with non-zero offset/length is a client violation	\#
    FLUSH(512,0), FLUSH(0,512): EINVAL or success; in sync [HD]	yes	yes
    TX-038	server	SHOULD	transmission	Error values	TRIM beyond the end gets EINVAL	TRIM(size-512,1024), (2^64-511,1024): 22 [HD]	\#
    write	yes
    TX-039	server	SHOULD	transmission	Request types: NBD_CMD_TRIM	Zero-length TRIM does not disconnect	TRIM(0,0): any reply, in \#
    sync	write	yes
    TX-040	server	MUST	transmission	Request types: NBD_CMD_TRIM	TRIM touches nothing outside its range	pattern around range \#
    intact after TRIM	write	yes
    TX-041	server	SHOULD	transmission	Error values	TRIM not advertised: EINVAL	if bit 5 clear: TRIM: EINVAL (success = warn) [HD]	\#
    write	yes
    TX-042	server	SHOULD	transmission	Error values	TRIM with NO_HOLE or FAST_ZERO: EINVAL	TRIM flags=2, 16: EINVAL (success = \#
    warn) [HD]	write	yes
    TX-043	server	MUST	transmission	Request types: NBD_CMD_CACHE	If SEND_CACHE is set unknown command flags are rejected	CACHE \#
    flags=2,4,8,16,0x8000: error [HD]	yes	yes
    TX-044	server	MUST	transmission	Request types: NBD_CMD_CACHE	CACHE does not change semantics	CACHE then READ equals READ \#
    before	yes	yes
    TX-045	server	MAY	transmission	Request types: NBD_CMD_CACHE	CACHE may succeed or fail, advertised or not	CACHE(0,512), \#
    (size-512,1024), (0,0), unaligned: reply; server alive after (crash = fail)	yes	yes
    TX-046	server	MUST	transmission	Request types: NBD_CMD_WRITE_ZEROES	ZEROES range reads back as zero, neighbours intact	WRITE \#
    pattern, ZEROES middle, READ back, with flags 0, NO_HOLE, FUA	write	yes
    TX-047	server	MUST	transmission	Command flags	NO_HOLE accepted when WRITE_ZEROES is advertised	ZEROES flags=2: success	write	yes
    TX-048	server	MUST	transmission	Request types: NBD_CMD_WRITE_ZEROES	NO_HOLE leaves the range allocated	ZEROES NO_HOLE; \#
    BLOCK_STATUS: HOLE clear over range when base:allocation is available; HOLE set = warn only (unwritten extents look like \#
    holes through SEEK_HOLE)	write	partly
    TX-049	server	SHOULD	transmission	Request types: NBD_CMD_WRITE_ZEROES	ZEROES beyond the end gets ENOSPC	\#
    ZEROES(size-512,1024), (2^64-511,1024): 28; nothing changed [HD]	write	yes
    TX-050	server	SHOULD	transmission	Request types: NBD_CMD_WRITE_ZEROES	ZEROES on read-only gets EPERM	RO, scratch: ZEROES: 1; \#
    not advertised: EINVAL passes too [HD]	write	yes
    TX-051	server	SHOULD	transmission	Request types: NBD_CMD_WRITE_ZEROES	Zero-length ZEROES does not disconnect	ZEROES(0,0): any \#
    reply, in sync	write	yes
    TX-052	server	MUST	transmission	Request types: NBD_CMD_WRITE_ZEROES	Without FAST_ZERO flag ENOTSUP is not returned by a \#
    server advertising FAST_ZERO	ZEROES flags=0: never 95	write	yes
    TX-053	server	MUST	transmission	Request types: NBD_CMD_WRITE_ZEROES	FAST_ZERO: succeeds quickly or fails quickly with ENOTSUP	\#
    bit 11 set: ZEROES flags=16 whole export: 0 or 95, time <= ordinary write	write	partly
    TX-054	server	SHOULD	transmission	Request types: NBD_CMD_WRITE_ZEROES	FAST_ZERO failing with ENOTSUP changes nothing	pattern; \#
    ZEROES FAST -> 95; READ back unchanged	write	yes
    TX-055	server	SHOULD	transmission	Request types: NBD_CMD_WRITE_ZEROES	FAST_ZERO does not fail with EOVERFLOW	ZEROES FAST \#
    len=min(size,2^32-1 aligned): not 75	write	yes
    TX-056	server	SHOULD	transmission	Request types: NBD_CMD_WRITE_ZEROES	FAST_ZERO not advertised: EINVAL	bit 11 clear: ZEROES \#
    flags=16: EINVAL and server still alive (run last) [HD]	write	yes
    TX-057	server	SHOULD	transmission	Error values	WRITE_ZEROES not advertised: EINVAL	bit 6 clear: ZEROES: EINVAL (success = \#
    warn) [HD]	write	yes
    TX-058	server	SHOULD	transmission	Request types: NBD_CMD_WRITE_ZEROES	FAST_ZERO not advertised: never ENOTSUP	bit 11 clear: \#
    ZEROES flags=0: not 95	write	yes
    TX-059	server	SHOULD	transmission	Error values	Unknown command gets EINVAL, no payload assumed	types 9, 99, 0xffff with \#
    length 0 and 512: 22; next READ in sync; type 8 likewise, with the export's size as offset, where bit 9 is clear [HD]	yes	yes
    TX-060	server	SHOULD	transmission	Error values	Unknown command flag gets EINVAL	READ/FLUSH/WRITE/TRIM/ZEROES/CACHE with bits \#
    5,6,15: 22; WRITE payload consumed [HD]	write	yes
    TX-061	server	SHOULD	transmission	Error values	Flag not applicable to the command gets EINVAL	READ+NO_HOLE, READ+REQ_ONE, \#
    READ+FAST_ZERO, WRITE+NO_HOLE, WRITE+DF, ZEROES+DF, BLOCK_STATUS+DF: 22 [HD]	write	yes
    TX-062	server	SHOULD	transmission	Error values	DF without SR gets EINVAL	no SR: READ flags=4: 22 [HD]	yes	yes
    TX-063	server	MUST	transmission	Error values	Only defined error values are sent	all errors of the run in \#
    {1,5,12,22,28,75,95,108}	yes	yes
    TX-064	server	SHOULD	transmission	Error values	EOVERFLOW only for DF reads or oversize payload-less/large requests	no 75 \#
    elsewhere in the run	yes	yes
    TX-065	server	SHOULD	transmission	Error values	ENOTSUP only for FAST_ZERO	no 95 elsewhere in the run	yes	yes
    TX-066	server	SHOULD	transmission	Error values	ENOMEM is avoided	no 12 in the run; READ/WRITE above the limit should give \#
    EINVAL/EOVERFLOW	yes	yes
    TX-067	server	SHOULD	transmission	Error values	EDQUOT/EFBIG are mapped to ENOSPC	needs scripted backend (nbdkit eval pwrite \#
    -> EDQUOT, EFBIG): 28	write	partly
    TX-068	server	SHOULD	transmission	Terminating the transmission phase	Shutdown waits for requests in flight (or answers \#
    ESHUTDOWN)	needs process control: 3 READs of more than the socket's buffers hold, SIGTERM, then read: 3 replies (ok or 108) \#
    before EOF	yes	partly
    TX-069	server	MUST	transmission	Terminating the transmission phase	Server does not disconnect on its own outside the listed \#
    cases	idle connection 5 s then READ ok; error replies never followed by EOF for legal requests	yes	partly
    TX-070	server	MUST	transmission	Transmission flags	CAN_MULTI_CONN: effect of FLUSH/FUA visible on all connections	A: \#
    WRITE+FLUSH; B (already open): READ sees it; A: WRITE FUA; B READ; skip where a second client is not greeted	write	yes
    TX-071	server	MAY	transmission	Transmission flags	Without CAN_MULTI_CONN nothing is promised; second connection may be \#
    refused	two connections: record	yes	partly
    TX-072	server	MUST	transmission	Request types: NBD_CMD_READ	Read failing after a success header forces a hard disconnect	\#
    needs failing backend mid-read: EOF, not garbage	yes	no
    TX-073	server	MUST	transmission	(implied: robustness)	Client vanishing mid-request or mid-payload harms nobody; half payload \#
    is not written partially beyond what was received	WRITE header 64 KiB + 1000 bytes, close; new connection: export readable	\#
    write	partly
    TX-074	server	SHOULD	transmission	(experimental) extension-resize	RESIZE: advertised only by bit 9; otherwise EINVAL	bit 9 \#
    clear: REQ(8,off=size): 22 [HD]. bit 9 set: skip (changes export)	yes	partly
    TX-075	server	SHOULD	transmission	(experimental) extension-resize	RESIZE success makes the new size usable; failure \#
    EPERM/EIO/ENOSPC/ESHUTDOWN	only with bit 9 and scratch export: REQ(8,off=newsize), READ at new end	write	partly
    TX-076	client	MUST	transmission	Request message	Client request header is 28 bytes, magic 25609513, big-endian	scripted server \#
    parses	yes	yes
    TX-077	client	SHOULD	transmission	Transmission	Cookies in flight are distinct	64 concurrent reads: no duplicate pending \#
    cookie	yes	yes
    TX-078	client	MUST	transmission	Transmission	Client matches replies by cookie in any order	server answers 64 requests in \#
    reverse/random order: each caller gets its own data	yes	yes
    TX-079	client	MUST	transmission	Transmission flags	Client uses no command or flag that was not advertised	flags=1 only: \#
    flush/trim/zeroes/cache/FUA/fast-zero/DF calls fail locally (or are emulated); nothing on the wire	yes	yes
    TX-080	client	SHOULD	transmission	Transmission flags	Client ignores unknown transmission flags	flags=0xffff-ish with reserved \#
    bits: works	yes	yes
    TX-081	client	SHOULD	transmission	Transmission flags	Client does not spread commands over several connections without \#
    CAN_MULTI_CONN	flag clear: one connection (or a warning)	yes	yes
    TX-082	client	SHOULD	transmission	Transmission flags	Client refuses writes locally on READ_ONLY	bit 1: write() fails locally	\#
    yes	yes
    TX-083	client	MUST	transmission	Ordering of messages and writes	Multi-connection client flushes only after the writes to be \#
    covered were answered	trace: FLUSH sent after all write replies on all connections	yes	yes
    TX-084	client	MUST	transmission	Request types: NBD_CMD_FLUSH	FLUSH has offset 0 and length 0	parse	yes	yes
    TX-085	client	MUST	transmission	Request types: NBD_CMD_DISC	DISC has offset 0, length 0 and is the last thing sent	parse; no \#
    bytes afterwards	yes	yes
    TX-086	client	SHOULD	transmission	Terminating the transmission phase	Client waits for in-flight requests before DISC	slow \#
    server: close() waits or cancels with documented behaviour	yes	yes
    TX-087	client	MUST	transmission	Terminating the transmission phase	Client disconnects softly (DISC) rather than dropping the \#
    socket	normal close: DISC seen	yes	yes
    TX-088	client	MUST	transmission	Terminating the transmission phase	ESHUTDOWN makes the client issue a soft disconnect	server \#
    replies error 108: in-flight handled, DISC sent, later calls fail with a shutdown error	yes	yes
    TX-089	client	SHOULD	transmission	Error values	Unknown error value is treated as EINVAL; session continues	server replies \#
    error 9999: that request fails as EINVAL, next request works	yes	yes
    TX-090	client	SHOULD	transmission	Request types: NBD_CMD_READ	Zero-length read/write/trim/zeroes/status is never sent	API \#
    with length 0: returns at once or local error	yes	yes
    TX-091	client	SHOULD	transmission	Command flags	FUA only on commands that write	parse	yes	yes
    TX-092	client	MUST	transmission	Command flags	NO_HOLE, FAST_ZERO only with ZEROES; DF only READ; REQ_ONE only BLOCK_STATUS	\#
    parse	yes	yes
    TX-093	client	MUST	transmission	Request types: NBD_CMD_WRITE	WRITE header is followed by exactly length bytes even if the \#
    caller cancels midway	cancel during a large write: client finishes the payload or drops the connection, never sends another \#
    header early	yes	yes
    TX-094	client	MUST	transmission	Request types: NBD_CMD_TRIM	Client assumes nothing about contents after TRIM	API \#
    documentation; cache invalidated	yes	no
    TX-095	client	SHOULD	transmission	Request types: NBD_CMD_WRITE_ZEROES	ENOTSUP from FAST_ZERO is reported distinctly and falls \#
    back to writing	server replies 95: zero(fast) returns notSupported; helper writes zeroes	yes	yes
    TX-096	client	MUST	transmission	(experimental) extension-resize	Client does not send RESIZE unless bit 9 was set	API absent \#
    or local error	yes	yes
    TX-097	client	SHOULD	transmission	Request types: NBD_CMD_READ	Large READ refused with EOVERFLOW is retried in smaller pieces	\#
    server replies 75 (or 22) to len > 64 KiB: client splits or reports; no loop	yes	yes
    TX-098	client	SHOULD	transmission	Error values	Client does not depend on the exact code for out-of-range or read-only \#
    (servers differ: EINVAL vs ENOSPC vs EPERM)	server replies EINVAL where ENOSPC/EPERM is recommended: mapped sensibly	yes	yes
    TX-099	client	MUST	transmission	Transmission flags	Client sends DF only when SEND_DF was set, REQ_ONE only with contexts	\#
    parse	yes	yes
    """#
}
