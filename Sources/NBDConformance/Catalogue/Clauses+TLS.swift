/// The catalogue's clauses about TLS.
/// Scripts/catalogue.py makes this file of Docs/conformance/clauses.tsv.
extension Catalogue {
  static let textTLS = #"""
    TLS-001	server	MUST	tls	NOTLS mode	STARTTLS on a server without TLS gets ERR_POLICY, ERR_UNSUP or another permitted error	\#
    OPT(STARTTLS): error (0x80000001/2/4); session continues in plaintext (OPT(INFO) ok)	yes	yes
    TLS-002	server	MUST	tls	NOTLS mode	A NOTLS server never sends ERR_TLS_REQD	whole plaintext run: no 0x80000005	yes	yes
    TLS-003	server	MUST	tls	Server-side requirements	Server stays in NOTLS mode unless both sides agreed on fixed newstyle	\#
    cflags=0 (and 2), OPT(STARTTLS): anything but ACK (error or EOF)	yes	yes
    TLS-004	server	MUST	tls	FORCEDTLS mode	STARTTLS before TLS gets ACK	OPT(STARTTLS): ACK then TLS ClientHello accepted	yes	yes
    TLS-005	server	MUST	tls	FORCEDTLS mode	STARTTLS inside TLS gets ERR_INVALID	after TLS: OPT(STARTTLS): ERR_INVALID, session \#
    continues	yes	yes
    TLS-006	server	MUST	tls	FORCEDTLS mode	Any other option before TLS gets ERR_TLS_REQD, even unknown or malformed ones	\#
    OPT(LIST), OPT(INFO), OPT(GO), OPT(SR), OPT(9), OPT(10), OPT(11), OPT(0x7777,+data), OPT(INFO,1 byte): 0x80000005 each, in \#
    sync	yes	yes
    TLS-007	server	MUST	tls	Server-side requirements	ABORT before TLS is still honoured with ACK	OPT(ABORT) on FORCEDTLS server: \#
    ACK (ERR_TLS_REQD = warn, see ambiguity A3)	yes	yes
    TLS-008	server	MUST	tls	FORCEDTLS mode	EXPORT_NAME before TLS terminates the session	OPT(EXPORT_NAME): EOF with 0 bytes	yes	yes
    TLS-009	server	MUST	tls	Option types: NBD_OPT_INFO and NBD_OPT_GO	A FORCEDTLS server sends no REP_INFO with ERR_TLS_REQD	\#
    OPT(INFO)/OPT(GO): single reply	yes	yes
    TLS-010	server	MUST	tls	FORCEDTLS mode	After ACK only TLS is accepted	after ACK send a plaintext OPT(LIST): EOF / TLS alert, \#
    no option reply	yes	yes
    TLS-011	server	MUST	tls	FORCEDTLS mode	Plaintext bytes queued behind STARTTLS are not executed inside TLS (injection)	one \#
    write: OPT(STARTTLS)+OPT(LIST); then TLS handshake: either handshake fails or LIST is never answered inside TLS	yes	yes
    TLS-012	server	MUST	tls	FORCEDTLS mode	A failed TLS handshake terminates the session	after ACK send garbage record / bad \#
    client cert: EOF	yes	yes
    TLS-013	server	MUST	tls	FORCEDTLS mode	No ERR_TLS_REQD once TLS runs	all options inside TLS: never 0x80000005	yes	yes
    TLS-014	server	MUST	tls	SELECTIVETLS mode	INFO/GO for a TLS-only export before TLS gets ERR_TLS_REQD	OPT(INFO,sec), \#
    OPT(GO,sec): 0x80000005; then OPT(GO,plain export): ACK	yes	yes
    TLS-015	server	MUST	tls	SELECTIVETLS mode	EXPORT_NAME of a TLS-only export before TLS terminates the session	\#
    OPT(EXPORT_NAME,sec): EOF	yes	yes
    TLS-016	server	MUST	tls	SELECTIVETLS mode	ERR_TLS_REQD only for INFO/GO (EXPORT_NAME) and only for TLS-only or missing \#
    exports	OPT(LIST), OPT(SR), OPT(0x7777), OPT(GO,plain): never 0x80000005	yes	yes
    TLS-017	server	MAY	tls	SELECTIVETLS mode	Missing export may be reported as ERR_TLS_REQD before TLS	OPT(INFO,random): \#
    ERR_UNKNOWN or ERR_TLS_REQD; inside TLS: ERR_UNKNOWN	yes	yes
    TLS-018	server	MAY	tls	Server-side requirements	TLS-only exports may be left out of LIST before TLS	compare LIST before and \#
    inside TLS	yes	yes
    TLS-019	server	SHOULD	tls	Option types: NBD_OPT_INFO and NBD_OPT_GO	A server that hides missing exports sends no REP_INFO for \#
    TLS-only ones	OPT(INFO,sec): zero REP_INFO if OPT(INFO,random) gave TLS_REQD	yes	yes
    TLS-020	server	MUST	tls	Server-side requirements	TLS mode is constant during one connection	OPT(INFO), an erroring option, \#
    OPT(INFO): same class of answer	yes	yes
    TLS-021	server	MUST	tls	Option types: NBD_OPT_STARTTLS	STARTTLS with data gets a permitted error (ERR_INVALID), not ACK	\#
    OPT(STARTTLS,"zz"): 0x80000003 (or EOF [HD]); then OPT(STARTTLS) still works if connected; silence is a failure	yes	yes
    TLS-022	server	MUST	tls	Option types: NBD_OPT_STARTTLS	STRUCTURED_REPLY agreed before TLS is forgotten	SELECTIVETLS: OPT(SR) \#
    ACK, STARTTLS, then GO: DF flag clear and READ gives a simple reply; OPT(SET_META) gives ERR_INVALID	yes	yes
    TLS-023	server	MUST	tls	Option types: NBD_OPT_STARTTLS	Metadata contexts chosen before TLS are forgotten	SR, SET_META, \#
    STARTTLS, SR, GO, BLOCK_STATUS: EINVAL	yes	yes
    TLS-024	server	MUST	tls	TLS versions	TLS 1.2 is supported	handshake limited to 1.2 succeeds	yes	yes
    TLS-025	server	SHOULD	tls	TLS versions	Later versions are supported	handshake limited to 1.3 succeeds	yes	yes
    TLS-026	server	SHOULD	tls	TLS versions	TLS 1.0/1.1 and SSL are refused by default	handshake limited to <=1.1 fails (needs a \#
    TLS library that can still offer it)	yes	partly
    TLS-027	server	MUST	tls	Terminating the transmission phase	On DISC the server closes TLS (close_notify), then TCP	inside TLS: \#
    GO, REQ(DISC): clean TLS EOF rather than truncation	yes	yes
    TLS-028	server	SHOULD	tls	Termination of the session during option haggling	Party ending the session shuts TLS down first	\#
    inside TLS: OPT(ABORT): ACK then close_notify	yes	partly
    TLS-029	server	SHOULD	tls	Maximum interoperability	TLS is offered	OPT(STARTTLS) ACK; informative only	yes	partly
    TLS-030	server	MUST	tls	FORCEDTLS mode	Options, GO and transmission all work inside TLS, including multi-record payloads	\#
    inside TLS: LIST, INFO, SR, GO, READ 1 MiB, WRITE 1 MiB	write	yes
    TLS-031	client	MUST	tls	Client-side requirements	STARTTLS only after fixed newstyle on both sides	server flags=0/2: with TLS \#
    required client must disconnect, with TLS optional it must use EXPORT_NAME	yes	yes
    TLS-032	client	MUST	tls	Client-side requirements	No second STARTTLS inside TLS	count == 1	yes	yes
    TLS-033	client	MUST	tls	Option types: NBD_OPT_STARTTLS	STARTTLS carries no data	length == 0	yes	yes
    TLS-034	client	MUST	tls	Client-side requirements	On ACK the client starts TLS at once, sending nothing else in clear	first \#
    byte after ACK is 0x16 (TLS handshake)	yes	yes
    TLS-035	client	MUST	tls	Client-side requirements	On any STARTTLS error the client continues in clear (opportunistic) or ends \#
    the session (TLS required)	ERR_UNSUP, ERR_POLICY, ERR_PLATFORM, 0x8000dead: both policies tested; required -> ABORT and \#
    distinct error	yes	yes
    TLS-036	client	SHOULD	tls	Client-side requirements	TLS-preferring client makes STARTTLS its first option	first option == 5	\#
    yes	yes
    TLS-037	client	MUST	tls	Client-side requirements	Failed TLS handshake ends the session; no plaintext fallback on that \#
    connection	server sends alert/garbage/expired or wrong-name certificate: client closes, no IHAVEOPT in clear	yes	yes
    TLS-038	client	MAY	tls	Client-side requirements	On ERR_TLS_REQD the client may STARTTLS, quit, or try another export	LIST -> \#
    0x80000005: opportunistic client sends STARTTLS then repeats; no-TLS client reports TLS required	yes	yes
    TLS-039	client	SHOULD	tls	Option types: NBD_OPT_STARTTLS	Stateful options are deferred until TLS is decided	SR/SET_META never \#
    precede STARTTLS	yes	yes
    TLS-040	client	MUST	tls	Option types: NBD_OPT_STRUCTURED_REPLY	After STARTTLS the client negotiates SR (and contexts) again	\#
    if SR was sent before: it is sent again inside TLS; client does not treat pre-TLS SR as active	yes	yes
    TLS-041	client	MUST	tls	Client-side requirements	TLS-capable client copes with NOTLS, FORCEDTLS and SELECTIVETLS servers	\#
    three scripted servers, both policies	yes	yes
    TLS-042	client	MUST	tls	Server-side requirements	Nothing learnt about TLS in an earlier connection is assumed for a new one	\#
    reconnect to a server that changed mode: full negotiation repeated	yes	yes
    TLS-043	client	SHOULD	tls	Client-side requirements	TLS-capable client uses GO rather than EXPORT_NAME	option 7 used inside \#
    TLS	yes	yes
    TLS-044	client	SHOULD	tls	Protocol downgrade attacks	TLS-required client sends nothing sensitive (export name, data) before \#
    TLS	server strips FIXED_NEWSTYLE, or answers STARTTLS with ERR: no name ever seen in clear	yes	yes
    TLS-045	client	SHOULD	tls	Protocol downgrade attacks	Plaintext received between STARTTLS ACK and the TLS handshake is not \#
    treated as protected data	server sends ACK + a plaintext REP packet in one segment: client must fail the handshake or \#
    discard, never parse it as an option reply inside TLS	yes	yes
    TLS-046	client	MUST	tls	Termination of the session during option haggling	Client closes TLS before dropping the connection on \#
    ABORT/DISC	server sees close_notify	yes	partly
    TLS-047	client	SHOULD	tls	(implied: truncation)	TCP EOF without close_notify in mid-reply is an error, not success	server \#
    cuts TCP inside a TLS READ payload: request fails	yes	yes
    TLS-048	both	MUST	tls	TLS versions	An implementation with TLS supports 1.2, should support later ones, should not allow older \#
    ones by default	client side: scripted server limited to 1.1 -> handshake refused; 1.2 and 1.3 -> ok	yes	partly
    TLS-049	client	SHOULD	tls	Client-side requirements	TLS-required client ends the session when STARTTLS is refused	as above \#
    with ERR_POLICY: ABORT sent, no GO	yes	yes
    TLS-050	client	MAY	tls	Client-side requirements	INFO/GO answered ERR_TLS_REQD concerns that export only; other exports may \#
    still be used in clear	SELECTIVETLS script: second export works without TLS if policy allows	yes	yes
    """#
}
