/// The catalogue's clauses about a client that meets a server which breaks the rules.
/// Scripts/catalogue.py makes this file of Docs/conformance/clauses.tsv.
extension Catalogue {
  static let textRB = #"""
    RB-001	client	MAY	handshake	Newstyle negotiation	Wrong first magic	server: "NBDMAGIX...": client closes the socket, fails \#
    every pending request with a protocol-violation error, and stays failed; message names the bytes seen	yes	yes
    RB-002	client	MAY	handshake	Newstyle negotiation	Wrong second magic	server: NBDMAGIC + random 8 bytes: fail; no client flags \#
    sent	yes	yes
    RB-003	client	MAY	handshake	(not in spec: timeout)	Server accepts and stays silent	no bytes: connect times out by deadline; \#
    task cancellation works at every await	yes	yes
    RB-004	client	MAY	handshake	(not in spec: timeout)	Greeting dripped one byte at a time	1 byte per 10 ms: client succeeds	yes	yes
    RB-005	client	MAY	handshake	(implied)	EOF inside greeting or right after client flags	EOF at 0,1,7,8,17,18 bytes: distinct \#
    "closed during handshake" error	yes	yes
    RB-006	client	MAY	handshake	(implied)	Something that is not NBD (HTTP, SSH banner, TLS alert)	"HTTP/1.1 400": fails within 16 \#
    bytes	yes	yes
    RB-007	client	MAY	option	Fixed newstyle negotiation	Reply magic wrong	fail (hard); no further option	yes	yes
    RB-008	client	MAY	option	Fixed newstyle negotiation	Reply for an option other than the one sent	GO answered with option=6/0: \#
    fail (hard)	yes	yes
    RB-009	client	MAY	option	Option reply types	Unexpected non-error reply type (REP_SERVER to GO, REP_INFO to LIST, type 99)	\#
    fail (hard), or ignore payload by length and continue to the final reply; never misparse	yes	yes
    RB-010	client	MAY	option	Option reply types	Unknown error type 0x8000beef	treated as failure of that option; session usable; \#
    fallback chosen as for UNSUP only if code is UNSUP	yes	yes
    RB-011	client	MAY	option	Option reply types	Reply length 0xffffffff or 1 GiB	refused before allocation (cap e.g. 64 KiB for \#
    errors, 4 KiB+8 for names): fail	yes	yes
    RB-012	client	MAY	option	Option reply types: NBD_REP_ACK	ACK with data	payload skipped or treated as violation; stream stays \#
    in sync	yes	yes
    RB-013	client	MAY	option	Conventions	Error text longer than 4096, with NUL, control characters or invalid UTF-8	text \#
    truncated and sanitised; code preserved	yes	yes
    RB-014	client	MAY	option	Option types: NBD_OPT_LIST	LIST floods (10^6 REP_SERVER or never-ending)	client bounds entries/bytes \#
    and fails cleanly	yes	yes
    RB-015	client	MAY	option	Option reply types: NBD_REP_SERVER	REP_SERVER shorter than 4, or name length beyond payload	fail \#
    (hard)	yes	yes
    RB-016	client	MAY	option	Option reply types: NBD_REP_SERVER	Name over 4096, with NUL or not UTF-8	entry reported as invalid / \#
    replaced, or fail; no crash; never used verbatim as a C string	yes	yes
    RB-017	client	MAY	option	Option types: NBD_OPT_INFO and NBD_OPT_GO	ACK to GO without INFO_EXPORT	fail (server broke a MUST); \#
    never assume size 0	yes	yes
    RB-018	client	MAY	option	Option reply types: NBD_INFO_EXPORT	INFO_EXPORT of length 11, 13, 2, 0 or 1	fail (hard)	yes	yes
    RB-019	client	MAY	option	Option reply types: NBD_REP_INFO	REP_INFO with length 0 or 1 (no type)	fail (hard)	yes	yes
    RB-020	client	MAY	option	Option reply types: NBD_REP_INFO	INFO_EXPORT twice with different size	fail or last-wins, \#
    documented; same values accepted	yes	yes
    RB-021	client	MAY	option	Option reply types: NBD_INFO_BLOCK_SIZE	INFO_BLOCK_SIZE of wrong length	fail (hard)	yes	yes
    RB-022	client	MAY	option	Transmission flags	INFO_EXPORT without HAS_FLAGS	warn or fail; must not crash	yes	yes
    RB-023	client	MAY	option	Transmission flags	Size 0, size 2^63, size 2^64-1	size 0 usable (all I/O local errors); above 2^63-1 \#
    rejected or handled as unsigned without overflow	yes	yes
    RB-024	client	MAY	option	Transmission flags	SEND_DF set though SR refused; FAST_ZERO without WRITE_ZEROES	feature treated as \#
    absent	yes	yes
    RB-025	client	MAY	option	Option types: NBD_OPT_INFO and NBD_OPT_GO	INFO says size 0, GO says real size	client trusts GO only	\#
    yes	yes
    RB-026	client	MAY	option	Option types: NBD_OPT_INFO and NBD_OPT_GO	Server sends 124 zero bytes after GO ACK	first reply magic \#
    is 00000000: fail (hard), not a hang	yes	yes
    RB-027	client	MAY	option	Client flags	Server ignores NO_ZEROES and sends 134 bytes to EXPORT_NAME (or omits zeroes when due)	\#
    extra: bad magic at first reply -> fail; missing: deadline -> fail	yes	yes
    RB-028	client	MAY	option	Termination of the session during option haggling	Server closes in the middle of an option reply	\#
    error names option and phase; no partial result returned as success	yes	yes
    RB-029	client	SHOULD	option	Option types: NBD_OPT_INFO and NBD_OPT_GO	Server closes on GO (old server) instead of ERR_UNSUP	\#
    reconnect once with EXPORT_NAME only (optional) or clear error	yes	yes
    RB-030	client	MAY	option	Option types: NBD_OPT_STRUCTURED_REPLY	SR answered by an intermediate reply then ACK, or by two ACKs	\#
    second ACK arrives while waiting for GO: option mismatch -> fail	yes	yes
    RB-031	client	MAY	metadata	Option types: NBD_OPT_SET_META_CONTEXT	Server returns a context that was not asked for	ignored \#
    (and its chunks tolerated) or fail; never mislabelled as base:allocation	yes	yes
    RB-032	client	MAY	metadata	Option types: NBD_OPT_SET_META_CONTEXT	Same context twice, or two contexts with one id	fail, or \#
    keep first	yes	yes
    RB-033	client	MAY	metadata	Option reply types: NBD_REP_META_CONTEXT	REP_META_CONTEXT shorter than 4 bytes	fail (hard)	yes	yes
    RB-034	client	MUST	metadata	Structured reply types	BLOCK_STATUS chunk with unknown context id	inconsistent contents: hard \#
    disconnect	yes	yes
    RB-035	client	MUST	metadata	Structured reply types	BLOCK_STATUS length 4, 11, 13; descriptor of length 0	hard disconnect; no \#
    infinite loop	yes	yes
    RB-036	client	MAY	metadata	Request types: NBD_CMD_BLOCK_STATUS	Two chunks for one context, or none before DONE	violation: \#
    fail request and connection	yes	yes
    RB-037	client	MAY	metadata	Request types: NBD_CMD_BLOCK_STATUS	REQ_ONE answered with two descriptors or a longer one	\#
    violation: fail (or clip and warn)	yes	yes
    RB-038	client	MAY	metadata	Request types: NBD_CMD_BLOCK_STATUS	Descriptors before the last already reach the requested length	\#
    violation: fail or clip	yes	yes
    RB-039	client	MAY	metadata	Request types: NBD_CMD_BLOCK_STATUS	Sum of descriptor lengths overflows 2^64 / passes export end	\#
    clip with 64-bit checked arithmetic	yes	yes
    RB-040	client	MAY	metadata	Request types: NBD_CMD_BLOCK_STATUS	BLOCK_STATUS answered by a successful simple reply	no status \#
    was delivered: treat as violation	yes	yes
    RB-041	client	MAY	transmission	Simple reply message	Reply magic unknown	client closes the socket, fails every pending request \#
    with a protocol-violation error, and stays failed	yes	yes
    RB-042	client	MAY	transmission	Transmission	Cookie that matches no pending request	hard disconnect; all pending fail	yes	yes
    RB-043	client	MAY	transmission	Transmission	Second reply for an already answered cookie	hard disconnect	yes	yes
    RB-044	client	MAY	transmission	Simple reply message	Simple reply to READ after SR was agreed (error or success)	violation: \#
    hard disconnect (with error != 0 a tolerant client may fail only the request)	yes	yes
    RB-045	client	MAY	transmission	Structured reply chunk message	Structured chunk though SR was not agreed	hard disconnect	yes	yes
    RB-046	client	MAY	transmission	Simple reply message	EOF inside a simple READ payload	that request and all pending fail; \#
    caller buffer not reported as valid	yes	yes
    RB-047	client	MAY	transmission	Simple reply message	READ error reply followed by payload anyway	next magic wrong -> hard \#
    disconnect	yes	yes
    RB-048	client	MAY	transmission	Error values	error = 0xffffffff, 2, 11, 116	reported as EINVAL class with raw code; session \#
    continues	yes	yes
    RB-049	client	MUST	transmission	Terminating the transmission phase	ESHUTDOWN on one of several pending requests	stop \#
    submitting, let the others finish, DISC, close	yes	yes
    RB-050	client	MAY	transmission	(not in spec: timeout)	Server never answers one request but answers others	per-request \#
    deadline: request fails; connection closed or cookie quarantined; late reply must not hit a reused cookie	yes	yes
    RB-051	client	MAY	transmission	(not in spec: flow)	Server stops reading: client send buffer fills while writing	writer \#
    blocks/suspends; reader keeps draining; cancellation and deadline work	yes	yes
    RB-052	client	MAY	transmission	(not in spec: flow)	Server sends replies while client is still sending a large WRITE	full \#
    duplex: no deadlock with 64 MiB both ways	yes	yes
    RB-053	client	MAY	transmission	Terminating the transmission phase	Server closes after DISC with unread data or RST	close() \#
    succeeds	yes	yes
    RB-054	client	MAY	transmission	Terminating the transmission phase	Server does not close after DISC	client closes by itself \#
    after a grace period	yes	yes
    RB-055	client	MAY	transmission	Terminating the transmission phase	TCP RST / EOF with 64 pending requests	all 64 fail exactly \#
    once; no leaked tasks; SIGPIPE does not kill the process	yes	yes
    RB-056	client	MAY	transmission	Request types: NBD_CMD_WRITE	Error reply arrives before the WRITE payload was completely sent	\#
    client still completes the payload, then continues in sync	yes	yes
    RB-057	client	MAY	transmission	Transmission	Replies split at every byte boundary and coalesced into one segment	works for all \#
    cut points	yes	yes
    RB-058	client	MUST	structured	Structured reply types	Unknown non-error chunk type (3, 4, 7, 0x7fff)	hard disconnect	yes	yes
    RB-059	client	MUST	structured	Structured reply types	Known type wrong for the command (OFFSET_DATA to WRITE, BLOCK_STATUS to \#
    READ)	hard disconnect	yes	yes
    RB-060	client	MUST	structured	Structured reply types: NBD_REPLY_TYPE_ERROR_OFFSET	Unknown error chunk type (0x8003, 0xffff) \#
    with well-formed prefix	request fails with the given error; session continues	yes	yes
    RB-061	client	MUST	structured	Structured reply types: NBD_REPLY_TYPE_ERROR	message length larger than the chunk	hard \#
    disconnect	yes	yes
    RB-062	client	MUST	structured	Structured reply types: NBD_REPLY_TYPE_ERROR	error chunk with error 0, or length below 6 \#
    (ERROR) / 14 (ERROR_OFFSET)	inconsistent: hard disconnect; never success	yes	yes
    RB-063	client	MUST	structured	Structured reply flags	Unknown reply flags (0xfffe)	ignored; DONE bit still honoured	yes	yes
    RB-064	client	MUST	structured	Structured reply types: NBD_REPLY_TYPE_NONE	NONE with payload or without DONE	hard disconnect	\#
    yes	yes
    RB-065	client	MAY	structured	Request types: NBD_CMD_READ	OFFSET_DATA outside the requested range (before, after, wrapping \#
    2^64)	hard disconnect; no write outside the caller buffer	yes	yes
    RB-066	client	MAY	structured	Request types: NBD_CMD_READ	Overlapping content chunks	hard disconnect	yes	yes
    RB-067	client	MAY	structured	Request types: NBD_CMD_READ	DONE before the range is covered, no error	request fails; hard \#
    disconnect; gaps never returned as zeroes	yes	yes
    RB-068	client	MUST	structured	Request types: NBD_CMD_READ	Chunks in arbitrary order, single bytes, holes and data mixed	\#
    reassembled correctly	yes	yes
    RB-069	client	MUST	structured	Structured reply types: NBD_REPLY_TYPE_OFFSET_DATA	OFFSET_DATA of length 8 (no data) or below 8	\#
    inconsistent: hard disconnect	yes	yes
    RB-070	client	MUST	structured	Structured reply types: NBD_REPLY_TYPE_OFFSET_HOLE	OFFSET_HOLE of length other than 12, size 0, \#
    or size beyond the range (0xffffffff)	hard disconnect; no 4 GiB memset	yes	yes
    RB-071	client	MAY	structured	Request types: NBD_CMD_READ	Two content chunks although DF was set	violation: hard disconnect \#
    (or accept and reassemble)	yes	yes
    RB-072	client	MUST	structured	Structured reply types: NBD_REPLY_TYPE_ERROR	Data for the whole range plus a generic ERROR \#
    chunk, before or after	request fails; data not trusted	yes	yes
    RB-073	client	MAY	structured	Request types: NBD_CMD_READ	ERROR_OFFSET inside an earlier data chunk	request fails; partial \#
    result only up to that offset, if the API exposes it	yes	yes
    RB-074	client	MAY	structured	Structured reply types: NBD_REPLY_TYPE_ERROR_OFFSET	ERROR_OFFSET outside the request	violation: \#
    fail request (hard disconnect allowed)	yes	yes
    RB-075	client	MUST	structured	Structured reply chunk message	Content chunks continue after an error chunk	accepted until \#
    DONE; request fails	yes	yes
    RB-076	client	MAY	structured	Structured reply chunk message	More chunks for a cookie after DONE	unknown cookie: hard \#
    disconnect	yes	yes
    RB-077	client	MAY	structured	Structured reply chunk message	Chunk length 0xffffffff or larger than 8 + requested length	\#
    refused before allocation: hard disconnect	yes	yes
    RB-078	client	MAY	structured	Structured reply chunk message	Endless chunks of one byte, or endless error chunks, never DONE	\#
    bounded by coverage / chunk budget / deadline	yes	yes
    RB-079	client	MAY	structured	Structured reply chunk message	Chunks of 64 replies interleaved	each request reassembled \#
    separately	yes	yes
    RB-080	client	MUST	structured	Structured reply chunk message	EOF between chunks before DONE	request fails	yes	yes
    RB-081	client	MAY	structured	Structured reply types: NBD_REPLY_TYPE_ERROR	Error text of 65535 bytes, with NUL or escape \#
    sequences	over 4096 is a violation: truncate/sanitise or disconnect	yes	yes
    RB-082	client	MAY	structured	Structured reply chunk message	Structured NONE+DONE as reply to READ with no data	not covered: \#
    request fails (violation)	yes	yes
    RB-083	client	MUST	tls	Client-side requirements	STARTTLS ACK then plaintext garbage	handshake error: close, no retry in clear	\#
    yes	yes
    RB-084	client	MUST	tls	Client-side requirements	Wrong host name, expired, self-signed, or unknown-CA certificate	fails by \#
    default; nothing but TLS records sent	yes	yes
    RB-085	client	MAY	tls	SELECTIVETLS mode	ERR_TLS_REQD inside TLS	treated as failure of the option; no second STARTTLS; no loop	\#
    yes	yes
    RB-086	client	MAY	tls	Option types: NBD_OPT_STARTTLS	Extra bytes after the ACK in the same segment	not interpreted as \#
    TLS-protected NBD data	yes	yes
    RB-087	client	MUST	extended	(experimental) extension-ext-header: Extended reply chunk message	Simple or compact structured \#
    reply after option 11 was agreed	hard disconnect	yes	yes
    """#
}
