/// The catalogue's clauses about block sizes.
/// Scripts/catalogue.py makes this file of Docs/conformance/clauses.tsv.
extension Catalogue {
  static let textSZ = #"""
    SZ-001	server	MUST	option	Size constraints	Advertised minimum block is a power of two, at most 65536	INFO_BLOCK_SIZE.min: \#
    popcount 1, 1..65536	yes	yes
    SZ-002	server	MUST	option	Size constraints	Preferred block is a power of two, at least max(min,512)	INFO_BLOCK_SIZE.pref	yes	yes
    SZ-003	server	MUST	option	Size constraints	Maximum payload is at least the preferred block	INFO_BLOCK_SIZE.max >= pref	yes	yes
    SZ-004	server	SHOULD	option	Size constraints	Maximum payload is at least 1 MiB when the export is that large	max >= 2^20 if \#
    size >= 2^20	yes	yes
    SZ-005	server	SHOULD	option	Size constraints	Export size is a multiple of the minimum block	size % min == 0	yes	yes
    SZ-006	server	MUST	option	Size constraints	Non-default constraints are advertised when asked for	OPT(INFO,name,[3]) lacks \#
    type 3: then defaults must hold (next two rows)	yes	yes
    SZ-007	server	SHOULD	transmission	Size constraints	With nothing advertised: single-byte access works	REQ(READ,1,1), \#
    REQ(READ,size-1,1): ok	yes	yes
    SZ-008	server	SHOULD	transmission	Size constraints	With nothing advertised: payloads up to 2^25 work	REQ(READ,0,32 MiB) ok \#
    (skip if export smaller); WRITE 32 MiB ok with scratch	write	yes
    SZ-009	server	SHOULD	transmission	Size constraints	A request not aligned to the advertised minimum gets EINVAL	only if min>1: \#
    READ off=1; READ len=min+1; TRIM/ZEROES/CACHE/BLOCK_STATUS off=1: EINVAL and in sync [HD]; success = warn	yes	yes
    SZ-010	server	SHOULD	transmission	Size constraints	A misaligned WRITE gets EINVAL with its payload consumed	min>1: \#
    WRITE(1,min), WRITE(0,min+1): EINVAL; next READ ok and data unchanged [HD]	write	yes
    SZ-011	server	SHOULD	transmission	Size constraints	A request crossing the export end gets an error (EINVAL; ENOSPC for \#
    write/zeroes)	see TX rows; also offset+length overflowing 2^64	yes	yes
    SZ-012	server	SHOULD	transmission	Size constraints	A payload of at most 2^25 is not treated as denial of service even above \#
    the advertised maximum	compact headers only: if max<2^25: WRITE of max+min bytes: error reply and still connected	write	yes
    SZ-013	server	SHOULD	transmission	Size constraints	TRIM/WRITE_ZEROES longer than the maximum payload do not disconnect; \#
    EOVERFLOW/EINVAL permitted	ZEROES(0,min(size,2*max)), TRIM same: ok, EOVERFLOW or EINVAL; in sync	write	yes
    SZ-014	server	MUST	transmission	Size constraints	No structured chunk carries variable data larger than the advertised maximum \#
    payload	READ of max bytes, and of 2*max if accepted: each OFFSET_DATA data part <= max; BLOCK_STATUS descriptor bytes <= max	\#
    yes	yes
    SZ-015	server	MUST	transmission	Size constraints	A server with strict constraints that admitted a client without negotiation \#
    errors cleanly and never corrupts data	GO without item 3 (or EXPORT_NAME): misaligned WRITE then READ back: either applied \#
    exactly or error and old data [HD]	write	yes
    SZ-016	server	MAY	transmission	Size constraints	A payload larger than the server accepts may be answered by disconnect	READ \#
    len 0xffffffff: error reply or EOF, never a hang; WRITE header len 0xffffffff + few bytes: wait/EOF/error	write	partly
    SZ-017	client	SHOULD	option	Size constraints	Client able to honour constraints asks for BLOCK_SIZE in GO (and INFO)	item 3 \#
    present in GO	yes	yes
    SZ-018	client	MUST	option	Size constraints	Client able to honour constraints uses GO rather than EXPORT_NAME (fallback \#
    excepted)	option 7 seen first	yes	yes
    SZ-019	client	MUST	transmission	Size constraints	After asking for BLOCK_SIZE in GO the client obeys it	min=4096: caller asks \#
    100 bytes at 7: client does aligned read(s) covering it or returns a local error; nothing misaligned on the wire	yes	yes
    SZ-020	client	MUST	transmission	Size constraints	Client never requests more payload than the maximum (WRITE, simple READ)	\#
    max=65536: caller reads/writes 1 MiB: client splits; each length <= 65536	yes	yes
    SZ-021	client	SHOULD	transmission	Size constraints	Without negotiated sizes client uses 512 alignment and at most 2^25 \#
    payload	no INFO_BLOCK_SIZE: 100 MiB read is split at <= 33554432	yes	yes
    SZ-022	client	MUST	transmission	Size constraints	Client never lets offset+length exceed the export size, and rejects 64-bit \#
    overflow locally	caller reads past end, offset 2^63, offset+len overflow: local error, nothing sent	yes	yes
    SZ-023	client	SHOULD	transmission	Size constraints	Client prefers multiples of the preferred block	split points are multiples \#
    of pref	yes	partly
    SZ-024	client	MAY	transmission	Size constraints	Client may use tighter limits than advertised	max=0xffffffff: client still \#
    caps payload (say 32 MiB)	yes	yes
    SZ-025	client	MAY	option	Size constraints	Invalid advertised sizes (0, not power of two, min>65536, pref<min, max<pref) are a \#
    server violation	each variant in INFO_BLOCK_SIZE: client refuses with a clear error or falls back to safe defaults; never \#
    divides by zero or loops	yes	yes
    SZ-026	client	MUST	transmission	Size constraints	Export whose size is not a multiple of min: client cannot touch the tail and \#
    must not hang trying	size=4096+100,min=512: reading the last 100 bytes is a local error	yes	yes
    """#
}
