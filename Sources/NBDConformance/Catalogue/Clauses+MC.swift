/// The catalogue's clauses about metadata contexts.
/// Scripts/catalogue.py makes this file of Docs/conformance/clauses.tsv.
extension Catalogue {
  static let textMC = #"""
    MC-001	server	MUST	metadata	Option types: NBD_OPT_LIST_META_CONTEXT	LIST_META replies are only REP_META_CONTEXT, then ACK or \#
    error	OPT(9,name,[]): types 4* then final	yes	yes
    MC-002	server	SHOULD	metadata	Option types: NBD_OPT_LIST_META_CONTEXT	Context ids in LIST_META replies are zero	u32 id == 0	\#
    yes	yes
    MC-003	server	MAY	metadata	Option types: NBD_OPT_LIST_META_CONTEXT	LIST_META before SR may be refused with ERR_INVALID	OPT(9) \#
    without SR: ACK list or ERR_INVALID	yes	yes
    MC-004	server	MUST	metadata	Option types: NBD_OPT_LIST_META_CONTEXT	Zero queries lists every context available for that \#
    export	OPT(9,name,[]): superset of OPT(9,name,["base:"])	yes	yes
    MC-005	server	SHOULD	metadata	Option types: NBD_OPT_LIST_META_CONTEXT	Zero-query listing does not fail with ERR_TOO_BIG	\#
    OPT(9,name,[]): not 0x80000009	yes	yes
    MC-006	server	MUST	metadata	The base: metadata namespace	"base:" is a wildcard in LIST_META	OPT(9,name,["base:"]): \#
    base:allocation if supported	yes	yes
    MC-007	server	MUST	metadata	Option types: NBD_OPT_LIST_META_CONTEXT	Listing by exact name returns that context only	\#
    OPT(9,name,["base:allocation"]): exactly base:allocation	yes	yes
    MC-008	server	MUST	metadata	The base: metadata namespace	Unknown leaf under base: is ignored, not an error	\#
    OPT(9|10,name,["base:nonexist"]): ACK with no context	yes	yes
    MC-009	server	MUST	metadata	Option types: NBD_OPT_LIST_META_CONTEXT	Queries of unknown namespaces are ignored	\#
    OPT(9|10,name,["x-foo:bar"]): ACK only; with "base:allocation" added: that one context	yes	yes
    MC-010	server	MUST	metadata	Option types: NBD_OPT_LIST_META_CONTEXT	No match at all gives a single ACK	\#
    OPT(9,name,["x-foo:bar"]): one reply, ACK	yes	yes
    MC-011	server	MAY	metadata	Option types: NBD_OPT_LIST_META_CONTEXT	A query without colon may be refused with ERR_INVALID (or \#
    ignored)	OPT(9|10,name,["nocolon"]), [""], [":"], ["base"]: ACK or ERR_INVALID; never a context	yes	yes
    MC-012	server	MUST	metadata	Option types: NBD_OPT_LIST_META_CONTEXT	Prefix or case variants do not match	"base:alloc", \#
    "base:allocation:x", "BASE:ALLOCATION": no context	yes	yes
    MC-013	server	MUST	metadata	Option types: NBD_OPT_LIST_META_CONTEXT	Unparseable request gets ERR_INVALID	name length past \#
    end; query length past end; query count too large (2, 0xffffffff); 0 and 3 data bytes; missing count: ERR_INVALID and in sync \#
    [HD]	yes	yes
    MC-014	server	MUST	metadata	Option types: NBD_OPT_LIST_META_CONTEXT	Leftover bytes after the last query are a syntax error, \#
    never parsed as the next option	trailing 4 bytes; count 1 with 2 queries; count 0 with 1 query: ERR_INVALID (ACK = fail/warn) \#
    then in sync	yes	yes
    MC-015	server	SHOULD	metadata	Option types: NBD_OPT_LIST_META_CONTEXT	Unknown export name gets an error, or at least no \#
    usable context	OPT(9|10,random,["base:allocation"]): ERR_UNKNOWN (skip if any name accepted; contexts returned = warn)	yes	yes
    MC-016	server	MUST	metadata	Conventions	Query containing NUL or over 4096 bytes is not accepted as a match	\#
    "base:allocation\0": ERR_INVALID or ACK without context; 4097-byte query: ERR_INVALID/TOO_BIG or ignored, in sync	yes	yes
    MC-017	server	MAY	metadata	Option types: NBD_OPT_LIST_META_CONTEXT	Too many queries may be refused with ERR_TOO_BIG	500 and \#
    3000 queries: ACK or 0x80000009; in sync	yes	yes
    MC-018	server	MUST	metadata	Option types: NBD_OPT_LIST_META_CONTEXT	Names returned have a non-empty namespace, a colon, valid \#
    UTF-8, at most 4096 bytes	check every REP_META_CONTEXT	yes	yes
    MC-019	server	MUST	metadata	Metadata querying	Namespace is base, nbd-server, qemu or x-*	check every REP_META_CONTEXT	yes	yes
    MC-020	server	SHOULD	metadata	Option types: NBD_OPT_SET_META_CONTEXT	SET_META before SR gets ERR_INVALID	OPT(10) without SR: \#
    ERR_INVALID or ERR_UNSUP [HD]	yes	yes
    MC-021	server	MUST	metadata	Option types: NBD_OPT_SET_META_CONTEXT	Zero queries selects nothing	SR, OPT(10,name,[]): ACK \#
    only; GO; BLOCK_STATUS: an error (which is MC-031's question) [HD]	yes	yes
    MC-022	server	MUST	metadata	The base: metadata namespace	"base:" selects nothing in SET_META	SR, OPT(10,name,["base:"]): ACK \#
    only	yes	yes
    MC-023	server	SHOULD	metadata	Metadata querying	Empty leaf in other namespaces selects nothing either	SR, \#
    OPT(10,name,["qemu:"]): ACK only	yes	yes
    MC-024	server	MUST	metadata	Option types: NBD_OPT_SET_META_CONTEXT	One REP_META_CONTEXT per selected context, each with a \#
    unique id	SR, OPT(10,name,[all listed]): ids pairwise distinct; names are the requested ones	yes	yes
    MC-025	server	MUST	metadata	Option types: NBD_OPT_SET_META_CONTEXT	The same query twice selects the context once	SR, \#
    OPT(10,name,["base:allocation"]*2): one reply, not two with one id	yes	yes
    MC-026	server	MUST	metadata	Option types: NBD_OPT_SET_META_CONTEXT	Each SET_META replaces the former selection	SET \#
    [base:allocation], SET ["base:"], GO, BLOCK_STATUS: an error [HD]	yes	yes
    MC-027	server	MUST	metadata	Option types: NBD_OPT_SET_META_CONTEXT	A failing SET_META also clears the selection	SET \#
    [base:allocation] ok; SET malformed -> ERR_INVALID; GO; BLOCK_STATUS: an error [HD]	yes	yes
    MC-028	server	MUST	metadata	Option types: NBD_OPT_SET_META_CONTEXT	LIST_META does not disturb the selection	SET \#
    [base:allocation], LIST_META, GO, BLOCK_STATUS ok	yes	partly
    MC-029	server	SHOULD	metadata	Metadata querying	Selection made for one export is not valid for another	SET for A, GO B, \#
    BLOCK_STATUS: an error (needs two exports or any-name server)	yes	yes
    MC-030	server	MUST	metadata	Option types: NBD_OPT_SET_META_CONTEXT	Selection also holds when EXPORT_NAME ends haggling	SR, \#
    SET, EXPORT_NAME same name, BLOCK_STATUS ok	yes	partly
    MC-031	server	SHOULD	metadata	Metadata querying	BLOCK_STATUS without a selected context gets EINVAL	GO (with and without SR), \#
    BLOCK_STATUS 0+4096: EINVAL, in sync [HD]	yes	yes
    MC-032	server	MUST	metadata	Request types: NBD_CMD_BLOCK_STATUS	Successful BLOCK_STATUS is a structured reply with exactly \#
    one status chunk per selected context	select k contexts: k chunks of type 5 with k distinct known ids, last carries DONE (or \#
    a NONE follows)	yes	yes
    MC-033	server	MUST	metadata	Structured reply types: NBD_REPLY_TYPE_BLOCK_STATUS	Chunk length is 4 + 8n, n >= 1; no \#
    zero-length descriptor	parse all; every length > 0	yes	yes
    MC-034	server	MUST	metadata	Structured reply types: NBD_REPLY_TYPE_BLOCK_STATUS	Sum of all but the last descriptor is less \#
    than the requested length	BLOCK_STATUS 0+len for len 512, 4096, size/2, size	yes	yes
    MC-035	server	MUST	metadata	Request types: NBD_CMD_BLOCK_STATUS	REQ_ONE: exactly one descriptor per chunk, not longer than \#
    requested	flags=8 with len 512, 4096, size	yes	yes
    MC-036	server	MAY	metadata	Request types: NBD_CMD_BLOCK_STATUS	Without REQ_ONE the reply may cover less or (last descriptor) \#
    more than asked	iterate until covered: always progresses; never past export end	yes	yes
    MC-037	server	SHOULD	metadata	Structured reply types: NBD_REPLY_TYPE_BLOCK_STATUS	At most 2^20 descriptors in a chunk	n <= \#
    1048576	yes	yes
    MC-038	server	SHOULD	metadata	Request types: NBD_CMD_BLOCK_STATUS	Neighbouring descriptors differ in status	count equal \#
    neighbours: warn	yes	yes
    MC-039	server	MUST	metadata	Request types: NBD_CMD_BLOCK_STATUS	Descriptor lengths are multiples of 512 and of the minimum \#
    block except at the ends	check: fail for the minimum block (a MUST on the branch), warn for 512	yes	yes
    MC-040	server	SHOULD	metadata	Request types: NBD_CMD_BLOCK_STATUS	Range past the export end gets EINVAL	\#
    BLOCK_STATUS(size-512,1024), (size,512), (2^64-511,1024): EINVAL [HD]	yes	yes
    MC-041	server	SHOULD	metadata	Request types: NBD_CMD_BLOCK_STATUS	Zero-length BLOCK_STATUS does not disconnect	\#
    BLOCK_STATUS(0,0): any reply; in sync	yes	yes
    MC-042	server	MAY	metadata	Request types: NBD_CMD_BLOCK_STATUS	BLOCK_STATUS failure is an error chunk; a simple error reply \#
    is tolerated since it carries no payload	SR, no context: BLOCK_STATUS: ERROR chunk or simple error	yes	yes
    MC-043	server	MAY	metadata	Option types: NBD_OPT_LIST_META_CONTEXT	Option may be unsupported as a whole	OPT(9|10): ERR_UNSUP: \#
    skip all metadata clauses	yes	yes
    MC-044	server	MUST	metadata	Option types: NBD_OPT_LIST_META_CONTEXT	Only contexts matching a query are returned	\#
    OPT(9,name,["base:"]): every name starts with base:; OPT(9,name,["qemu:"]): every name starts with qemu:	yes	yes
    MC-045	server	SHOULD	metadata	Option types: NBD_OPT_SET_META_CONTEXT	Contexts selected are among those listed	names from \#
    OPT(10) subset of OPT(9,name,[]) (namespaces may abbreviate lists)	yes	partly
    MC-046	server	SHOULD	metadata	`base:allocation` metadata context	Reserved status bits of base:allocation are zero	status & ~3 \#
    == 0	yes	yes
    MC-047	server	MUST	metadata	`base:allocation` metadata context	Range flagged ZERO reads back as zeroes	for each descriptor \#
    with bit 1: READ it (sample): all zero	yes	yes
    MC-048	server	MUST	metadata	`base:allocation` metadata context	Write to a range with HOLE clear does not fail with ENOSPC	\#
    write to a non-hole extent: success	write	partly
    MC-049	server	MUST	metadata	`base:allocation` metadata context	Status after writing data does not claim ZERO for it	WRITE \#
    0x55 x 64 KiB, BLOCK_STATUS: no ZERO over it	write	yes
    MC-050	server	MAY	metadata	`base:allocation` metadata context	Status after ZEROES/TRIM may be anything consistent	ZEROES then \#
    BLOCK_STATUS: 0..3 with contents zero	write	yes
    MC-051	server	SHOULD	metadata	Request types: NBD_CMD_BLOCK_STATUS	FUA is tolerated on BLOCK_STATUS when SEND_FUA is set	\#
    flags=1: success	yes	yes
    MC-052	server	MAY	metadata	Request types: NBD_CMD_BLOCK_STATUS	Chunks for several contexts may come in any order	k>1: accept \#
    any order	yes	yes
    MC-053	client	MUST	metadata	Option types: NBD_OPT_SET_META_CONTEXT	SET_META only after SR	order of options	yes	yes
    MC-054	client	MUST	metadata	Request types: NBD_CMD_BLOCK_STATUS	BLOCK_STATUS only if the last SET_META succeeded with at \#
    least one context for the export entered	server answers SET_META with ACK only / ERR: API call fails locally; other export: \#
    fails locally	yes	yes
    MC-055	client	MUST	metadata	Option types: NBD_OPT_LIST_META_CONTEXT	Contexts received before an error reply are discarded	\#
    server: META base:allocation id 5, then ERR_TOO_BIG: client has no context	yes	yes
    MC-056	client	MUST	metadata	Option types: NBD_OPT_LIST_META_CONTEXT	Client ignores the id in LIST_META replies	ids \#
    0xdeadbeef: no effect	yes	yes
    MC-057	client	MUST	metadata	Option types: NBD_OPT_SET_META_CONTEXT	Ids are opaque and per negotiation	server gives 0, \#
    0xffffffff, and different ids on reconnect: mapping follows	yes	yes
    MC-058	client	MUST	metadata	`base:allocation` metadata context	Unknown status bits are ignored	descriptor status 0xfffffffe: \#
    client reports ZERO only / masks	yes	yes
    MC-059	client	SHOULD	metadata	Request types: NBD_CMD_BLOCK_STATUS	Equal neighbouring statuses are accepted (merge or pass \#
    through)	two descriptors with the same status	yes	yes
    MC-060	client	SHOULD	metadata	Request types: NBD_CMD_BLOCK_STATUS	Reply shorter than asked: client asks again from the first \#
    uncovered offset	server returns one 512-byte descriptor each time: client loop terminates with full map	yes	yes
    MC-061	client	SHOULD	metadata	Request types: NBD_CMD_BLOCK_STATUS	Last descriptor longer than asked is clipped	server returns \#
    length 4 GiB-1: result clipped to the request/export	yes	yes
    MC-062	client	MUST	metadata	Option types: NBD_OPT_SET_META_CONTEXT	Queries sent start with namespace and colon	parse data	yes	\#
    yes
    MC-063	client	MUST	metadata	Metadata querying	HOLE without ZERO: client makes no assumption about contents	status 1: client \#
    must not report zero / skip reading in copy	yes	partly
    MC-064	client	SHOULD	metadata	Option types: NBD_OPT_LIST_META_CONTEXT	ERR_UNSUP / ERR_INVALID for metadata options means no \#
    contexts; the client carries on	server refuses 9 and 10: GO and I/O work	yes	yes
    """#
}
