/// The catalogue's clauses about URIs.
/// Scripts/catalogue.py makes this file of Docs/conformance/clauses.tsv.
extension Catalogue {
  static let textURI = #"""
    URI-001	client	SHOULD	uri	NBD URI scheme	Schemes nbd, nbds, nbd+unix, nbds+unix are understood (scheme is case-insensitive \#
    per RFC 3986)	parse nbd://h, NBD://h, nbds://h, nbd+unix:///?socket=/s, nbds+unix:///?socket=/s	yes	yes
    URI-002	client	MAY	uri	NBD URI scheme	Other schemes are rejected with a clear error or mapped by extension	parse http://h, \#
    nbd+vsock://2: error unless supported	yes	yes
    URI-003	client	MUST	uri	NBD URI scheme	nbds / nbds+unix: connection fails if TLS cannot be negotiated	nbds URI against NOTLS \#
    server, against one without FIXED_NEWSTYLE, against failed handshake: error and no data	yes	yes
    URI-004	client	MAY	uri	NBD URI scheme	nbd / nbd+unix may be opportunistic	nbd URI against server offering STARTTLS: either	\#
    yes	yes
    URI-005	client	MUST	uri	NBD URI scheme	Unix schemes require a socket parameter	nbd+unix:///name: error; socket given twice or \#
    empty: error	yes	yes
    URI-006	client	SHOULD	uri	NBD URI authority	Authority used for TCP, not for Unix	nbd+unix://host/?socket=/s: error or ignored \#
    (documented); nbd:///name: default host or error (documented)	yes	yes
    URI-007	client	MUST	uri	NBD URI authority	Missing port means 10809	nbd://h and nbd://h: -> 10809 (empty port too per RFC \#
    3986)	yes	yes
    URI-008	client	MUST	uri	NBD URI authority	IPv6 literals are bracketed	nbd://[::1]:10810/x ok; nbd://::1/x error	yes	yes
    URI-009	client	MUST	uri	NBD URI authority	Port must be a number 1..65535	nbd://h:0, :65536, :abc: error	yes	yes
    URI-010	client	SHOULD	uri	NBD URI authority	userinfo is a TLS username; default is a local credential	nbds://alice@h: \#
    psk/anon username alice; nbds://alice%40x@h decoded	yes	partly
    URI-011	client	MUST	uri	NBD URI export name	Export name is the path without exactly one leading slash	/disk -> disk; // disk \#
    -> /disk; "" and "/" -> empty	yes	yes
    URI-012	client	MUST	uri	NBD URI export name	Percent-decoding is applied to the name	hello%20world -> "hello world"; %2F -> \#
    "/"; %C3%A9 -> e-acute; "+" stays "+"	yes	yes
    URI-013	client	MUST	uri	NBD URI export name	Name cannot contain NUL; must be UTF-8	%00 -> error; %FF -> error (or documented)	\#
    yes	yes
    URI-014	client	MUST	uri	NBD URI export name	Decoded name over 4096 bytes is refused	long path	yes	yes
    URI-015	client	MUST	uri	Related standards	Invalid percent-encoding or characters are errors	nbd://h/%zz, nbd://h/%2, raw \#
    space, raw non-ASCII: error	yes	yes
    URI-016	client	MAY	uri	NBD URI socket parameter	Abstract socket begins with NUL (%00)	socket=%00/abstract -> sun_path[0]==0, \#
    length-sized name (Linux)	yes	yes
    URI-017	client	MUST	uri	NBD URI socket parameter	Socket path is percent-decoded and length-checked	socket=/tmp/a%20b ok; path \#
    of 108+ bytes: error	yes	yes
    URI-018	client	MAY	uri	NBD URI query parameters related to TLS	tls-type is anon, x509 or psk	others: diagnosed	yes	yes
    URI-019	client	SHOULD	uri	NBD URI query parameters related to TLS	tls-hostname overrides the name used for verification	\#
    nbds+unix with tls-hostname=localhost verifies; without: error or documented	yes	partly
    URI-020	client	SHOULD	uri	NBD URI query parameters related to TLS	Peer verified by default; tls-verify-peer=0 disables; \#
    values other than 0/1 diagnosed	self-signed server: fails by default, succeeds with 0	yes	yes
    URI-021	client	SHOULD	uri	Other NBD URI query parameters	Unknown parameters are diagnosed	?foo=1: error or warning; x-foo \#
    likewise known-experimental	yes	yes
    URI-022	client	SHOULD	uri	Clients which do not support TLS	Client built without TLS reports an error for nbds schemes	\#
    build/flag without TLS	yes	yes
    URI-023	client	SHOULD	uri	NBD URI query parameters related to TLS	tls-* parameters on a non-TLS connection are harmless or \#
    diagnosed	nbd://h/?tls-type=x509	yes	partly
    URI-024	client	MUST	uri	Related standards	Fragment is not part of the export name	nbd://h/a#b: name a (or error)	yes	yes
    """#
}
