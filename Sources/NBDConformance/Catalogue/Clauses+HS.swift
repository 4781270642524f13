/// The catalogue's clauses about the handshake's greeting.
/// Scripts/catalogue.py makes this file of Docs/conformance/clauses.tsv.
extension Catalogue {
  static let textHS = #"""
    HS-001	server	MUST	handshake	Newstyle negotiation	Server speaks first: 8 bytes NBDMAGIC	connect, send nothing; first 8 bytes \#
    == 4e42444d41474943	yes	yes
    HS-002	server	MUST	handshake	Newstyle negotiation	Second magic is IHAVEOPT for newstyle	bytes 8..15 == 49484156454f5054; if \#
    0000420281861253 the server is oldstyle (skip newstyle clauses)	yes	yes
    HS-003	server	MUST	handshake	Newstyle negotiation	Greeting is exactly 18 bytes; server then waits for the 32-bit client flags	\#
    after 18 bytes wait 200 ms: no further byte	yes	yes
    HS-004	server	MUST	handshake	Handshake flags	FIXED_NEWSTYLE (bit 0) set by every server that supports fixed newstyle \#
    (baseline: all)	flags & 1 == 1	yes	yes
    HS-005	server	MUST	handshake	Handshake flags	No handshake flag other than bits 0 and 1 is set	flags & 0xfffc == 0	yes	yes
    HS-006	server	SHOULD	handshake	Handshake flags	Merely offering NO_ZEROES changes nothing unless the client echoes it	\#
    cflags=1, EXPORT_NAME: 10+124 bytes arrive	yes	yes
    HS-007	server	MUST	handshake	Client flags	Unknown client flag bits make the server drop the connection	four probes \#
    cflags=0x4, 0x7, 0x80000001, 0xffffffff, then OPT(LIST): expect EOF/RST and no option reply	yes	yes
    HS-008	server	MUST	handshake	Client flags	A client flag that answers nothing the server offered makes it drop the connection	\#
    only if server flags lack bit 1 (or 0): cflags=3 (or 1) then OPT(LIST): expect EOF; skip when both bits offered (nbdkit \#
    --mask-handshake=0|1 reaches it)	yes	yes
    HS-009	server	MAY	handshake	Client flags	Server may treat a client that did not set C_FIXED_NEWSTYLE as fixed newstyle	\#
    cflags=0, OPT(LIST): reply, ERR_*, or EOF are all conforming; record which	yes	yes
    HS-010	server	MUST	handshake	Newstyle negotiation	Non-fixed client (cflags=0) can still use EXPORT_NAME and gets \#
    size+flags+124 zero bytes	cflags=0, OPT(EXPORT_NAME,name): read 134 bytes, then READ works	yes	yes
    HS-011	server	MUST	handshake	Handshake flags	cflags=NO_ZEROES alone (2) still suppresses the padding	cflags=2, EXPORT_NAME: \#
    exactly 10 bytes then silence until a request is sent	yes	yes
    HS-012	server	SHOULD	handshake	Newstyle negotiation	Newstyle is on IANA port 10809; oldstyle not offered there	when target \#
    port is 10809: second magic is IHAVEOPT	yes	partly
    HS-013	server	MUST	handshake	Oldstyle negotiation	Oldstyle greeting is 152 bytes: NBDMAGIC, cliserv magic, u64 size, u32 \#
    flags, 124 zero bytes	only if oldstyle detected: lengths and zero padding	yes	yes
    HS-014	server	MUST	handshake	Handshake flags	Handshake flag bits are never set in the oldstyle 32-bit flags word	oldstyle \#
    only: upper 16 bits of flags == 0	yes	yes
    HS-015	both	SHOULD	handshake	Protocol phases	Nagle is disabled on TCP	TCP only: not visible on the wire except as 40 ms \#
    stalls on small split replies: the median of 20 sequential READs is less than 30 ms above the time that a greeting takes	yes	\#
    partly
    HS-016	server	MUST	handshake	(implied: byte stream)	Message framing never depends on TCP segmentation	send cflags+OPT header \#
    one byte per write; and cflags+OPT in a single write; both get the same reply	yes	yes
    HS-017	server	MAY	handshake	Termination of the session during option haggling	Wrong option magic is a client MUST violation: \#
    server may hard-disconnect, must not execute the option	OPT with magic 1234567812345678: expect EOF (or an error reply), \#
    never ACK	yes	yes
    HS-018	server	MUST	handshake	(implied: robustness)	A client that vanishes mid-greeting, mid-flags, mid-option-header or \#
    mid-option-data does not affect other clients	4 connections closed after 0/2/12/20 bytes; then a new connection completes GO	\#
    yes	yes
    HS-019	client	SHOULD	handshake	Newstyle negotiation	Client ignores handshake flags it does not know	scripted server sends \#
    flags=0xfff3: client proceeds and its client flags are still only bits 0,1	yes	yes
    HS-020	client	MUST	handshake	Client flags	Client never sets C_NO_ZEROES when NO_ZEROES was not offered	scripted server \#
    flags=1: received cflags == 1	yes	yes
    HS-021	client	MUST	handshake	Client flags	Client sets no flag bits other than 0 and 1	cflags & ~3 == 0 for server flags \#
    0,1,2,3,0xffff	yes	yes
    HS-022	client	SHOULD	handshake	Client flags	Client that supports fixed newstyle answers with C_FIXED_NEWSTYLE	server flags=3: \#
    cflags & 1	yes	yes
    HS-023	client	MUST	handshake	Newstyle negotiation	Against a non-fixed server the only option the client sends is EXPORT_NAME	\#
    server flags=0 or 2: first option number received == 1 (no STARTTLS, GO, LIST, SR)	yes	yes
    HS-024	client	SHOULD	handshake	Newstyle negotiation	Client connects to port 10809 unless told otherwise	nbd://127.0.0.1 with \#
    no port; observe connect target	yes	partly
    HS-025	client	MAY	handshake	Oldstyle negotiation	Client may accept or refuse oldstyle, but must recognise it	server sends \#
    oldstyle greeting: client either works or fails at once with an oldstyle-specific error; no hang	yes	yes
    """#
}
