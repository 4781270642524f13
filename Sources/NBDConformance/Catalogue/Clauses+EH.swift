/// The catalogue's clauses about extended headers.
/// Scripts/catalogue.py makes this file of Docs/conformance/clauses.tsv.
extension Catalogue {
  static let textEH = #"""
    EH-001	server	MUST	extended	Option types: NBD_OPT_EXTENDED_HEADERS	Server without the extension answers ERR_UNSUP	OPT(11): \#
    ACK or ERR_UNSUP (TLS_REQD before TLS); not silence/EOF. ERR_UNSUP -> skip the rest	yes	yes
    EH-002	server	MUST	extended	Reserved Magic values	Without ACK for option 11 the magics 21e41c71/6e8a278c never appear	all \#
    replies of the compact run	yes	yes
    EH-003	server	SHOULD	extended	(experimental) extension-ext-header: NBD_OPT_EXTENDED_HEADERS	Option 11 with data: ERR_INVALID, \#
    mode unchanged	OPT(11,"xx"): 0x80000003 [HD]	yes	yes
    EH-004	server	SHOULD	extended	(experimental) extension-ext-header: NBD_OPT_EXTENDED_HEADERS	Works without SR first	OPT(11) \#
    directly: ACK	yes	yes
    EH-005	server	MUST	extended	(experimental) extension-ext-header: NBD_OPT_EXTENDED_HEADERS	After ACK GO is supported (never \#
    ERR_UNSUP)	OPT(11), OPT(GO): ACK	yes	yes
    EH-006	server	MUST	extended	(experimental) extension-ext-header: NBD_OPT_STRUCTURED_REPLY	SR after extended headers is \#
    refused with ERR_EXT_HEADER_REQD	OPT(11) ACK, OPT(SR): 0x8000000a; another error of the specification: warn	yes	yes
    EH-007	server	MAY	extended	(experimental) extension-ext-header: NBD_OPT_EXTENDED_HEADERS	Repeating option 11 may be refused \#
    with ERR_INVALID	OPT(11) twice	yes	yes
    EH-008	server	MUST	extended	(experimental) extension-ext-header: Extended reply chunk message	Every reply has the 32-byte \#
    header with magic 6e8a278c	READ, FLUSH, unknown command: no simple or compact structured reply	yes	yes
    EH-009	server	MUST	extended	(experimental) extension-ext-header: Extended reply chunk message	Reply header offset equals \#
    request offset	READ off=4096: header offset 4096 in every chunk; also for errors and FLUSH	yes	yes
    EH-010	server	MUST	extended	(experimental) extension-ext-header: Extended reply chunk message	Chunk payload length fits 32 \#
    bits	len < 2^32	yes	yes
    EH-011	server	MUST	extended	(experimental) extension-ext-header: NBD_CMD_FLAG_PAYLOAD_LEN	WRITE with PAYLOAD_LEN flag works	\#
    flags=0x20 type=1 len=512 + data	write	yes
    EH-012	server	SHOULD	extended	(experimental) extension-ext-header: NBD_CMD_FLAG_PAYLOAD_LEN	WRITE without PAYLOAD_LEN is \#
    EINVAL (no payload follows)	flags=0 type=1 len=512, no data: EINVAL, in sync [HD] (what a server does is inferred: warn)	\#
    write	yes
    EH-013	server	SHOULD	extended	(experimental) extension-ext-header: Request message	PAYLOAD_LEN on a command with no payload \#
    form: payload consumed, EINVAL	READ flags=0x20 len=512 + 512 bytes: EINVAL; next request in sync	yes	yes
    EH-014	server	SHOULD	extended	(experimental) extension-ext-header: Request message	PAYLOAD_LEN length above the maximum \#
    payload: hard disconnect	WRITE flags=0x20 len=max+1 (header only): EOF	write	partly
    EH-015	server	MUST	extended	(experimental) extension-ext-header: Request message	64-bit effect lengths accepted for \#
    TRIM/ZEROES/BLOCK_STATUS/CACHE	export > 4 GiB: BLOCK_STATUS len=2^32+512, ZEROES likewise: success or EOVERFLOW/EINVAL; not \#
    truncated to 32 bits	write	yes
    EH-016	server	SHOULD	extended	(experimental) extension-ext-header: Size constraints	64-bit length past the end: \#
    EINVAL/ENOSPC; offset+length overflow handled	READ len=2^63; ZEROES off=512 len=2^64-512 [HD]	write	yes
    EH-017	server	MUST	extended	(experimental) extension-ext-header: NBD_REPLY_TYPE_BLOCK_STATUS_EXT	Status uses type 6, never \#
    type 5	BLOCK_STATUS: type 6, also when all lengths are below 2^32	yes	yes
    EH-018	server	MUST	extended	(experimental) extension-ext-header: NBD_REPLY_TYPE_BLOCK_STATUS_EXT	Chunk length = 8 + 16*count, \#
    count non-zero, lengths non-zero	parse	yes	yes
    EH-019	server	MUST	extended	(experimental) extension-ext-header: NBD_REPLY_TYPE_BLOCK_STATUS_EXT	For 32-bit contexts (base:) \#
    upper 32 status bits are zero	base:allocation	yes	yes
    EH-020	server	MUST	extended	(experimental) extension-ext-header: NBD_FLAG_BLOCK_STATUS_PAYLOAD	Bit 12 only after extended \#
    headers	compact GO: bit 12 clear	yes	yes
    EH-021	server	SHOULD	extended	(experimental) extension-ext-header: NBD_FLAG_BLOCK_STATUS_PAYLOAD	Bit 12 not set when no \#
    contexts were selected	extended, no SET_META: bit 12 clear in GO	yes	yes
    EH-022	server	MUST	extended	(experimental) extension-ext-header: NBD_CMD_BLOCK_STATUS	Payload form (8+4n bytes) restricts the \#
    reply to the listed ids	flags=0x20, payload u64 len, [id]: one chunk with that id	yes	yes
    EH-023	server	MUST	extended	(experimental) extension-ext-header: NBD_CMD_BLOCK_STATUS	Duplicate, unknown or badly sized id \#
    lists: payload consumed, EINVAL	[id,id], [0xdead], 9-byte payload: 22, in sync; badly sized list (9 bytes): an error of any \#
    kind (the sentence names unsupported form, duplicates and unknown ids only)	yes	yes
    EH-024	server	MUST	extended	(experimental) extension-ext-header: NBD_CMD_BLOCK_STATUS	Payload form without bit 12: payload \#
    consumed, EINVAL	bit 12 clear: flags=0x20 + 12 bytes: 22, in sync	yes	yes
    EH-025	server	MUST	extended	(experimental) extension-ext-header: NBD_OPT_STARTTLS	Extended headers agreed before TLS are \#
    forgotten	OPT(11), STARTTLS, GO, compact READ works	yes	yes
    EH-026	server	MUST	extended	(experimental) extension-ext-header: NBD_OPT_LIST_META_CONTEXT	ERR_EXT_HEADER_REQD is not used \#
    for base: queries nor after option 11	OPT(9,["base:"]): never 0x8000000a	yes	yes
    EH-027	server	SHOULD	extended	(experimental) extension-ext-header: Maximum interoperability	Compact clients are not refused \#
    with ERR_EXT_HEADER_REQD	OPT(GO) without option 11: not 0x8000000a	yes	yes
    EH-028	server	MAY	extended	(experimental) extension-ext-header: Request message	Compact request magic after option 11 is a \#
    client violation	25609513 and at least 32 bytes after ACK of 11 (a server may wait for a whole extended header): EOF or error	\#
    yes	yes
    EH-029	client	MUST	extended	(experimental) extension-ext-header: NBD_OPT_EXTENDED_HEADERS	After ACK client uses 32-byte \#
    requests and PAYLOAD_LEN on every WRITE; never EXPORT_NAME	scripted server parses	yes	yes
    EH-030	client	SHOULD	extended	(experimental) extension-ext-header: NBD_OPT_EXTENDED_HEADERS	ERR_UNSUP for option 11: client \#
    falls back to SR, then simple	server refuses 11 (and 8): client works compact	yes	yes
    EH-031	client	MUST	extended	(experimental) extension-ext-header: NBD_OPT_EXTENDED_HEADERS	Option 11 carries no data	length == \#
    0	yes	yes
    EH-032	client	MUST	extended	(experimental) extension-ext-header: Request message	PAYLOAD_LEN never used in compact mode	parse	\#
    yes	yes
    EH-033	client	MAY	extended	(experimental) extension-ext-header: Extended reply chunk message	Reply length beyond any sane \#
    bound, or offset not echoed: client may hard-disconnect	server sends len=2^40 / offset+1: session failed, no allocation	yes	yes
    EH-034	client	MUST	extended	(experimental) extension-ext-header: NBD_REPLY_TYPE_BLOCK_STATUS_EXT	count not matching length, \#
    type 5 in extended mode, or type 6 in compact mode: hard disconnect	three scripted variants	yes	yes
    EH-035	client	SHOULD	extended	(experimental) extension-ext-header: NBD_REPLY_TYPE_OFFSET_HOLE	Client does not request reads \#
    above 32 bits	8 GiB read is split	yes	yes
    EH-036	client	MAY	extended	(experimental) extension-ext-header: NBD_REP_ERR_EXT_HEADER_REQD	ERR_EXT_HEADER_REQD from GO: \#
    client may negotiate option 11 and retry, or report	server: GO -> 0x8000000a	yes	yes
    """#
}
