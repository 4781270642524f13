/// A report for people, and what can be said about a clause.
extension Report {
  package var text: String {
    var lines = ["\(server), export \"\(export)\": \(results.count) checks in \(Self.twoDecimals(seconds)) s", ""]
    for verdict in [Result.Verdict.fail, .warn] {
      for result in results where result.verdict == verdict { lines += Self.block(result) }
    }
    var reasons: [String: [String]] = [:]
    for result in results where result.verdict == .skip { reasons[result.found, default: []].append(result.id) }
    if !reasons.isEmpty { lines.append("Skipped:") }
    for (reason, ids) in reasons.sorted(by: { ($1.value.count, $0.key) < ($0.value.count, $1.key) }) {
      lines.append("  \(reason): \(ids.count > 6 ? "\(ids.count) checks" : ids.joined(separator: " "))")
    }
    if !reasons.isEmpty { lines.append("") }
    lines.append(summary)
    if count(.fail) + count(.warn) > 0 { lines.append("--explain ID says more about a clause, and shows the bytes.") }
    return lines.joined(separator: "\n") + "\n"
  }

  /// What is said about a check that did not pass.
  private static func block(_ result: Result) -> [String] {
    let word = result.verdict == .fail ? "FAIL" : "WARN"
    return [
      "\(word) \(result.id)  \(result.clause?.text ?? "")",
      "     \(result.level), \(result.section)",
      "     expected: \(result.expected)",
      "     found:    \(result.found)", "",
    ]
  }
}

extension Clause {
  /// What the clause says, and why it is there.
  package var explanation: String {
    var lines = [
      "\(id)  \(text)", "",
      "Level:    \(level.rawValue)",
      "Section:  \(section)",
      "Concerns: \(side == "both" ? "client and server" : side), \(phase) phase",
      "Probe:    \(probe)",
    ]
    if letsServerDisconnect { lines.append("          The probe breaks a rule for clients, so that a server may also hang up.") }
    if needsWriting { lines.append("          It writes, and runs with --write only.") }
    lines += ["", reason]
    return lines.joined(separator: "\n") + "\n"
  }

  /// Why a client depends on it.
  package var reason: String {
    for (words, reason) in Self.reasons where words.contains(where: { section.contains($0) }) { return reason }
    return Self.reasonOfPhase[phase] ?? ""
  }

  /// By words of the section's heading; the first that fits.
  private static let reasons: [([String], String)] = [
    (["EXPORT_NAME"], "This oldest way to choose an export has no error reply: hanging up is all that a server can say. Old clients know no other way in."),
    (["ABORT"], "A client that has seen enough says so with NBD_OPT_ABORT; without an answer it cannot tell a slow server from a dead one."),
    (["NBD_OPT_LIST", "REP_SERVER"], "Tools show users what there is to mount from this list, and then ask for one of its names."),
    (["INFO and NBD_OPT_GO", "NBD_INFO"], "From this answer a client learns size, abilities and block sizes. What is wrong here is wrong in every request that follows."),
    (["STRUCTURED_REPLY"], "Both sides must agree on the form of replies to the byte: a client that waits for the other form reads data as headers."),
    (["META_CONTEXT", "Metadata", "metadata"], "Backup programs skip what a context calls a hole. A wrong context or number means data that is not copied."),
    (["BLOCK_STATUS"], "Copying tools walk the export with this command: an answer without progress is an endless loop, a wrong one is data lost."),
    (["STARTTLS", "TLS"], "TLS that can be stripped, or that begins with bytes that came before it, protects nothing."),
    (["Size constraints"], "A client splits and aligns its requests by these numbers; where they are wrong, good requests fail."),
    (["OFFSET_DATA", "OFFSET_HOLE", "NBD_CMD_READ"], "A client copies these bytes to where the reply says. What is missing, doubled or outside is silent corruption, or a crash."),
    (["REPLY_TYPE_ERROR"], "The error tells programs what to do: try again, give up, or make room."),
    (["Structured reply"], "Chunks have a length and an end; a client that misses either waits for ever or reads garbage."),
    (["NBD_CMD_WRITE_ZEROES"], "File systems zero ranges with it. What is left over shows up as old data in new files."),
    (["NBD_CMD_WRITE"], "What a server has acknowledged a client has forgotten; nobody has it but the server."),
    (["NBD_CMD_DISC", "Terminating"], "The last thing a client says: what it wrote before must be there afterwards."),
    (["NBD_CMD_FLUSH", "Ordering"], "fsync in a mounted file system is this command. A flush that lies is a database that does not survive."),
    (["NBD_CMD_TRIM"], "A trim that reaches too far destroys data that nobody meant to give up."),
    (["NBD_CMD_CACHE"], "A hint, which must change nothing but speed."),
    (["Error values"], "Programs act on the number: ENOSPC makes them ask for room, EINVAL makes them give up, EIO makes them take a disk out of service."),
    (["Command flags", "Transmission flags"], "A client uses what is advertised, and nothing else; a promise that is not kept fails in the middle of use."),
    (["ext-header", "Extended"], "With 64-bit lengths one request covers a disk. A server that looks at the lower half of a length does a small part and says that all is done."),
    (["robustness"], "Clients crash, and networks are cut, at any byte. Nobody else may notice."),
    (["byte stream"], "TCP cuts the stream wherever it likes. A server that works in a test on one machine fails over a real network."),
    (["Termination of the session"], "A server that hangs up where an error would do takes from a client the chance to try something simpler."),
    (["Conventions"], "Names end up in terminals, logs and paths; a NUL or a broken character means two things to two programs."),
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
