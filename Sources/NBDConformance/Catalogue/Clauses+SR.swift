/// The catalogue's clauses about structured replies.
/// Scripts/catalogue.py makes this file of Docs/conformance/clauses.tsv.
extension Catalogue {
  static let textSR = #"""
    SR-001	server	MUST	structured	Structured reply chunk message	Chunk header magic 668e33ef, 20 bytes, payload of the declared \#
    length	SR: READ: parse until DONE; next reply in sync	yes	yes
    SR-002	server	MUST	structured	Structured reply chunk message	READ under SR never gets a simple reply, even for early errors	\#
    SR: READ with bad flag 0x8000, past end, len 0, len 0xffffffff: all replies structured [HD]	yes	yes
    SR-003	server	MUST	structured	Structured reply chunk message	Replies with payload are structured	SR+contexts: BLOCK_STATUS \#
    structured	yes	yes
    SR-004	server	MAY	structured	Structured reply chunk message	Payload-free replies to other commands may be simple or \#
    structured	SR: WRITE, FLUSH, TRIM, cmd 99: either magic	write	yes
    SR-005	server	SHOULD	structured	Structured reply chunk message	Errors are preferably structured (with text)	SR: FLUSH bad \#
    flag: ERROR chunk (simple = note)	yes	yes
    SR-006	server	MUST	structured	Structured reply flags	DONE set on the last chunk only	no chunk with same cookie after DONE; \#
    200 ms silence	yes	yes
    SR-007	server	MUST	structured	Structured reply flags	No other reply flag is set	flags & ~1 == 0	yes	yes
    SR-008	server	MUST	structured	Structured reply types: NBD_REPLY_TYPE_NONE	NONE has length 0 and DONE	check	yes	yes
    SR-009	server	MUST	structured	Structured reply types: NBD_REPLY_TYPE_OFFSET_DATA	OFFSET_DATA length at least 9	check	yes	yes
    SR-010	server	MUST	structured	Structured reply types: NBD_REPLY_TYPE_OFFSET_HOLE	OFFSET_HOLE length exactly 12, hole size \#
    non-zero	sparse export: READ hole region	yes	yes
    SR-011	server	MUST	structured	Structured reply types: NBD_REPLY_TYPE_OFFSET_DATA	Content lies inside the requested range	READ \#
    at 0, 65436+300, end: off>=req.off, off+len<=req.off+req.len	yes	yes
    SR-012	server	MUST	structured	Structured reply types: NBD_REPLY_TYPE_OFFSET_DATA	Content chunks do not overlap	interval check	\#
    yes	yes
    SR-013	server	MUST	structured	Request types: NBD_CMD_READ	Success covers the whole range	union of chunks == request range	yes	\#
    yes
    SR-014	server	MUST	structured	Structured reply types: NBD_REPLY_TYPE_OFFSET_HOLE	Hole regions really read as zero (compare DF \#
    or simple read)	READ with SR vs READ on a connection without SR: same bytes	yes	yes
    SR-015	server	SHOULD	structured	Request types: NBD_CMD_READ	Chunk boundaries are multiples of 512 except at the ends	check: \#
    warn	yes	yes
    SR-016	server	SHOULD	structured	Structured reply chunk message	Number of chunks is small	note chunks per MiB	yes	yes
    SR-017	server	MUST	structured	Request types: NBD_CMD_READ	DF: at most one content chunk; mixed hole+data becomes OFFSET_DATA \#
    with zeroes	DF READ over hole+data: one content chunk	yes	yes
    SR-018	server	MUST	structured	Request types: NBD_CMD_READ	DF read up to 65536 bytes is supported	READ flags=4 len 65536: \#
    success	yes	yes
    SR-019	server	MAY	structured	Request types: NBD_CMD_READ	DF read that is too large may fail with EOVERFLOW and then no \#
    content chunk	READ flags=4 len=min(size,64 MiB): data, or 75/22 without content	yes	yes
    SR-020	server	MUST	structured	Structured reply types: NBD_REPLY_TYPE_ERROR	Error chunk: length at least 6, error non-zero, \#
    message fits and at most 4096 bytes, displayable	READ past end: parse [HD]	yes	yes
    SR-021	server	SHOULD	structured	Structured reply types: NBD_REPLY_TYPE_ERROR	ERROR used at most once per reply, not mixed \#
    with ERROR_OFFSET	check	yes	yes
    SR-022	server	MUST	structured	Structured reply types: NBD_REPLY_TYPE_ERROR_OFFSET	ERROR_OFFSET: length at least 14, offset \#
    inside the request, same offset not repeated	needs failing backend (nbdkit error filter, qemu blkdebug): check; a repeated \#
    offset: warn (SHOULD NOT)	yes	partly
    SR-023	server	MUST	structured	Request types: NBD_CMD_READ	Error reply: an error chunk is present and the reply is complete	\#
    failing READ: exactly one DONE and at least one error chunk [HD]	yes	yes
    SR-024	server	MUST	structured	Structured reply types: NBD_REPLY_TYPE_ERROR_OFFSET	Content for an offset precedes the error \#
    chunk for it	failing backend: order	yes	partly
    SR-025	server	SHOULD	structured	Structured reply types: NBD_REPLY_TYPE_ERROR_OFFSET	At most one ERROR_OFFSET inside one \#
    content chunk	failing backend: check	yes	partly
    SR-026	server	SHOULD	structured	Request types: NBD_CMD_READ	Rest of a data chunk broken by an error is padded with zeroes	\#
    failing backend mid-chunk: bytes after the error offset are zero	yes	partly
    SR-027	server	MUST	structured	Structured reply chunk message	DONE is not put on a chunk while an error is still possible	\#
    internal to the server	yes	no
    SR-028	server	MUST	structured	Request types: NBD_CMD_READ	Every content chunk describes at least one byte	check all chunks	\#
    yes	yes
    SR-029	server	MAY	structured	Structured reply chunk message	Chunks of different replies may interleave	4 parallel READs over \#
    sparse data: reassemble per cookie	yes	yes
    SR-030	server	MAY	structured	Request types: NBD_CMD_READ	Server may split or refuse reads above its maximum payload	READ \#
    2*max: several chunks each <= max, or EOVERFLOW/EINVAL; in sync	yes	yes
    SR-031	server	MUST	structured	Structured reply types: NBD_REPLY_TYPE_ERROR_OFFSET	ERROR_OFFSET is only used for READ, WRITE, \#
    TRIM, CACHE, ZEROES, BLOCK_STATUS	check all error chunks	yes	partly
    """#
}
