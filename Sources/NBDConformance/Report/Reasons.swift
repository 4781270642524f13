/// Why a clause is there, as somebody sees it who depends on it.
extension Clause {
  /// Why the other side depends on it.
  package var reason: String {
    for (words, reason) in Self.reasons where words.contains(where: { section.contains($0) }) { return reason }
    return Self.reasonOfPhase[phase] ?? ""
  }

  /// By words of the section's heading; the first that fits.
  private static let reasons: [([String], String)] = [
    (
      ["META_CONTEXT", "Metadata", "metadata"],
      "Backup programs skip what a context calls a hole. A wrong context or number means data that is not copied."
    ),
    (
      ["EXPORT_NAME"],
      """
      This oldest way to choose an export has no error reply: hanging up is all that a server can say. Old clients know no other \
      way in.
      """
    ),
    (
      ["ABORT"],
      "A client that has seen enough says so with NBD_OPT_ABORT; without an answer it cannot tell a slow server from a dead one."
    ),
    (["NBD_OPT_LIST", "REP_SERVER"], "Tools show users what there is to mount from this list, and then ask for one of its names."),
    (
      ["INFO and NBD_OPT_GO", "NBD_INFO"],
      """
      From this answer a client learns size, abilities and block sizes. What is wrong here is wrong in every request that follows.
      """
    ),
    (
      ["STRUCTURED_REPLY"],
      """
      Both sides must agree on the form of replies to the byte: a client that waits for the other form reads data as headers.
      """
    ),
    (
      ["BLOCK_STATUS"],
      """
      Copying tools walk the export with this command: an answer without progress is an endless loop, a wrong one is data lost.
      """
    ),
    (["STARTTLS", "TLS"], "TLS that can be stripped, or that begins with bytes that came before it, protects nothing."),
    (["Size constraints"], "A client splits and aligns its requests by these numbers; where they are wrong, good requests fail."),
    (
      ["OFFSET_DATA", "OFFSET_HOLE", "NBD_CMD_READ"],
      """
      A client copies these bytes to where the reply says. What is missing, doubled or outside is silent corruption, or a crash.
      """
    ),
    (["REPLY_TYPE_ERROR"], "The error tells programs what to do: try again, give up, or make room."),
    (["Structured reply"], "Chunks have a length and an end; a client that misses either waits for ever or reads garbage."),
    (["NBD_CMD_WRITE_ZEROES"], "File systems zero ranges with it. What is left over shows up as old data in new files."),
    (["NBD_CMD_WRITE"], "What a server has acknowledged a client has forgotten; nobody has it but the server."),
    (
      ["NBD_CMD_DISC"],
      """
      It is the last thing that a client says, and it waits for no reply: the end of the connection is how it learns that all was \
      done, and what it wrote before must be there afterwards.
      """
    ),
    (
      ["Terminating"],
      """
      Who hangs up in the middle of a request leaves the other with a doubt: a write without a reply may be done or not. So each \
      side finishes first, or says with an error that it will not.
      """
    ),
    (
      ["NBD_CMD_FLUSH", "Ordering"],
      "fsync in a mounted file system is this command. A flush that lies is a database that does not survive."
    ),
    (["NBD_CMD_TRIM"], "A trim that reaches too far destroys data that nobody meant to give up."),
    (["NBD_CMD_CACHE"], "A hint, which must change nothing but speed."),
    (
      ["Error values"],
      """
      Programs act on the number: ENOSPC makes them ask for room, EINVAL makes them give up, EIO makes them take a disk out of \
      service.
      """
    ),
    (
      ["Command flags", "Transmission flags"],
      "A client uses what is advertised, and nothing else; a promise that is not kept fails in the middle of use."
    ),
    (
      ["ext-header", "Extended"],
      """
      With 64-bit lengths one request covers a disk. A server that looks at the lower half of a length does a small part and says \
      that all is done.
      """
    ),
    (["robustness"], "Clients crash, and networks are cut, at any byte. Nobody else may notice."),
    (
      ["byte stream"],
      """
      TCP cuts the stream wherever it likes. A server that works in a test on one machine fails over a real network.
      """
    ),
    (
      ["Termination of the session"],
      "A server that hangs up where an error would do takes from a client the chance to try something simpler."
    ),
    (
      ["Conventions"],
      "Names end up in terminals, logs and paths; a NUL or a broken character means two things to two programs."
    ),
    (["interop"], "So that any client and any server find something that both can do."),
  ]

  private static let reasonOfPhase = [
    "handshake": "The first bytes decide how everything after them is read.",
    "option": "Options are how old and new programs find out what both can do.",
    "transmission": "Requests and replies are matched by what these headers say, for as long as the connection lives.",
    "uri": "People copy these from one program to another, and expect the same server.",
    "structured": "Chunks are how a server says holes, errors and status; a client has to know where each begins and ends.",
    "extended": "With 64-bit lengths both sides must agree on each header to the byte.",
    "tls": "TLS that can be stripped, or that begins with bytes that came before it, protects nothing.",
    "metadata": "Copying tools rely on it to leave out what is not there.",
  ]
}
