/// Places of the specification that can be read in several ways, with the reading chosen.
/// Scripts/catalogue.py makes this file of Docs/conformance/ambiguities.md.
extension Catalogue {
  static let textAmbiguities = #"""
    A1  General licence to hard-disconnect on a client MUST violation vs specific error replies (LIST+data ERR_INVALID, bad META \#
    syntax MUST ERR_INVALID). Reading: server side reply; tool accepts EOF as weak pass except when the offending thing is only a \#
    SHOULD for the client.
    A2  ABORT with data is only a SHOULD NOT for the client: EOF without ACK is then a failure.
    A3  FORCEDTLS and ABORT: the mode summary exempts ABORT from TLS_REQD, the mode detail says "any other option". Reading: \#
    answer ACK; tool: TLS_REQD = warn. Client: after ABORT accept any reply or EOF.
    A4  Malformed INFO/GO data: no explicit server rule (unlike META). Reading: ERR_INVALID and skip by the option length.
    A5  Leftover bytes inside option data: not mentioned. Reading: ERR_INVALID best, ignoring tolerable, using them as the next \#
    option = fail.
    A6  Name with NUL / >4096 / non-UTF-8: sender rule only. Reading: reject; never truncate at NUL.
    A7  Zero-length READ/WRITE/TRIM/ZEROES/STATUS "unspecified". Reading: accept any reply (nbdkit EINVAL/ENOSPC, qemu and \#
    nbd-server success; qemu SR read len 0 = NONE+DONE). Client never sends them.
    A8  DISC "handle all outstanding requests": completion only, or also delivery of replies? Reading: side effects must be there \#
    (fail), replies should arrive (warn). Client: drain before DISC.
    A9  FUA "valid for all commands" includes DISC and FLUSH; DISC has no reply. Reading: DISC+FUA closes silently.
    A10 EOVERFLOW: the error list restricts it to DF and payload-less oversize requests; the READ text also allows it for any \#
    large read. Reading: allow for READ longer than the maximum payload.
    A11 Invalid chunks: structured-type section says inconsistent content => client MUST hard-disconnect; READ/BLOCK_STATUS \#
    sections say MAY (overlap, missing coverage). Reading: always disconnect.
    A12 "MAY NOT" (ERROR chunk, partial success) is not an RFC 2119 term. Reading: MUST NOT.
    A13 Priority among errors (read-only, out of range, misaligned, bad flag, oversize) is open. Reading: tool accepts any of \#
    EPERM/EINVAL/ENOSPC when several apply; client does not depend on the code.
    A14 BLOCK_STATUS length is "only a hint", yet past-end requests SHOULD be EINVAL. Reading: keep requests inside the export, \#
    expect EINVAL beyond.
    A15 Last extent may exceed the request; whether it may pass the export end is unsaid. Reading: client clips; tool warns.
    A16 SET_META "replaces ... including when it fails": also for unknown export / before SR. Reading: yes, any failing SET_META \#
    clears.
    A17 "Same export name" for SET_META vs GO: byte equality or same canonical export ("" vs its real name)? Reading: client \#
    always sends identical bytes; tool tests only clearly different names.
    A18 Duplicate query in SET_META: one reply (unique id per context). Same id twice = violation; client should dedupe.
    A19 Maximum payload with structured READ: the client limit is only written for WRITE and simple READ. Reading: obey it for \#
    all reads.
    A20 Chunk limit is max payload + fixed overhead: OFFSET_DATA +8, BLOCK_STATUS +4, errors +6/+14. Client cap: max(request,max \#
    payload)+16, and 4+8*2^20 for status.
    A21 base:allocation after NO_HOLE: HOLE "set = not allocated", but fallocated-unwritten areas read as holes through SEEK_HOLE \#
    (nbdkit file, qemu raw) and nbdkit memory never allocates zeroes. Reading: warn only.
    A22 Unknown non-error option reply type: unsaid. Reading: protocol error; (skip-by-length is the lenient alternative).
    A23 ACK with data: "No data" but no reaction defined. Reading: skip payload, warn.
    A24 A server that listens for cflags=0 may serve all options (MAY) or only EXPORT_NAME. nbdkit answers ERR_INVALID, qemu \#
    closes, nbd-server serves.
    A25 Unknown client flag: EOF may be seen only when the next option is sent (RST/EPIPE). Tool: send OPT(LIST) and accept EOF, \#
    RST, EPIPE.
    A26 SHUTDOWN: "MAY error in flight, SHOULD error further": ESHUTDOWN then the client MUST soft-disconnect although the server \#
    may close first (EPIPE on DISC is success).
    A27 Oldstyle flags word: 32 bits, low 16 are transmission flags, high 16 zero.
    A28 base: wildcards: only LIST; "base:" in SET is ignored, so no error and zero contexts.
    A29 Query without colon / empty: ERR_INVALID or ignore; both fine.
    A30 Export size 0 and >2^63-1 are not excluded. Reading: support 0; treat size as UInt64 and reject > Int64.max if the API is \#
    signed.
    A31 EXTENDED_HEADERS lives only on a branch (2023); qemu >= 8.2 and libnbd >= 1.18 ship it. PAYLOAD_LEN with length 0 is not \#
    allowed ("nonzero"), so a zero-length WRITE has no legal form.
    A32 Extended: hole size stays 32-bit, so reads stay below 2^32; PAYLOAD_LEN on READ must consume the payload.
    A33 URI: missing authority for TCP, authority on +unix, unknown parameters, repeated parameters, fragments: client's choice, \#
    document it. "+" is literal (RFC 3986), names are percent-decoded once, exactly one leading "/" removed, empty port = default.
    A34 INFO and GO must agree only with no option between; changing SR between them legitimately changes SEND_DF.
    A35 CACHE/FLUSH/TRIM not advertised but accepted: allowed for CACHE explicitly; others = warn.
    A36 Requests by which the client itself breaks a MUST (beyond the end, misaligned, flags or contexts not negotiated): either \#
    side may disconnect, so they carry [HD]. A server that hangs up there passes; one that answers must answer right.
    A37 With extended headers and a maximum below 2^25, "not a denial of service" (SZ) and "SHOULD initiate a hard disconnect" \#
    (EH) contradict each other. Reading: the first for compact headers, the second for extended.
    A38 A server may keep the connection open after the ACK to ABORT until the client closes it, and may wait for a whole 32-byte \#
    header before it looks at the magic.
    """#
}
