import NBDProtocol
import SystemPackage

/// How long things take, and what they are about.
package struct Settings: Sendable {
  /// Milliseconds without a byte after which a server hangs.
  package var timeout = 2000
  /// Milliseconds that are listened for bytes which should not come.
  package var quiet = 150
  /// Milliseconds that a connection is left idle, to see whether it stays.
  package var idle = 5000
  /// Milliseconds in which a server that is told to end shows what it does about its clients.
  package var grace = 2000
  /// Connections on which is tried what a server's threads race about.
  package var attempts = 32
  /// Milliseconds for one check in all, and more where ``timeout`` is long.
  package var checkLimit = 30_000
  /// Milliseconds that a check takes at most: time for a few silences that are none yet.
  var longest: Int { max(checkLimit, 4 * timeout) }

  package init() {}
}

/// One connection of a check: bytes, with the names of what they are. It has no state but what was agreed, and judges nothing
/// but the rules of ``RuleBook``; a check can say anything in it, in any order.
final class Session {
  let stream: ByteStream
  let transcript: Transcript
  let book: RuleBook
  let settings: Settings
  /// In the transcript.
  let number: Int

  /// Which replies were agreed.
  var form = ReplyForm.simple
  /// The server is known to have no TLS.
  var isWithoutTLS = false
  /// The export's least block, for the rules about block status; 1 where unknown.
  var minimumBlock: UInt64 = 1
  /// The greatest payload that the server has advertised.
  var maximumPayload: UInt32?
  /// Contexts selected: number to name.
  var contexts: [UInt32: String] = [:]
  /// What was sent breaks a rule for clients, so that the server may hang up.
  var isLicensed = false
  /// The server ended the connection, licensed or not.
  var hasMetItsEnd = false
  /// Requests not answered yet, by cookie.
  var pending: [UInt64: [PendingRequest]] = [:]
  /// Replies that came while another was waited for.
  var finished: [UInt64: [Reply]] = [:]
  var nextCookie: UInt64 = 0x4e42_4400_0000_0001
  /// Bytes of payload in ``pending`` and ``finished``.
  var held = 0
  private var hasLeft = false

  init(_ socket: consuming OwnedDescriptor, _ settings: Settings, deadline: Deadline, _ transcript: Transcript, _ book: RuleBook) {
    stream = ByteStream(socket, patience: settings.timeout, deadline: deadline)
    self.transcript = transcript
    self.book = book
    self.settings = settings
    number = transcript.newConnection()
    transcript.add(number, .event, "connected")
  }

  func log(_ direction: Message.Direction, _ title: String, _ fields: [Field] = []) {
    transcript.add(number, direction, title, fields)
  }

  /// Sends bytes. That the server has closed shows when its answer is read.
  func send(_ bytes: [UInt8], _ title: String, _ fields: [Field]? = nil) throws {
    log(.sent, title, fields ?? [Field("bytes", bytes)])
    do { _ = try stream.send(bytes) } catch {
      log(.event, "the server does not read")
      let isLate = if case .late = error { true } else { false }
      throw Finding(
        kind: .broken, expected: "a server that reads \(title)",
        found: isLate ? "it had not when \(timeIsOver)" : "it stopped reading for \(settings.timeout) ms")
    }
  }

  /// The next `count` bytes, which are `what`.
  func receive(_ count: Int, _ what: String) throws -> [UInt8] {
    guard count <= ByteStream.bound else {
      throw Finding(kind: .broken, expected: "at most \(ByteStream.bound) bytes", found: "\(count) bytes of \(what)")
    }
    do { return try stream.receive(count) } catch { throw unfinished(error, what) }
  }

  private var timeIsOver: String { "the check's own time, \(settings.longest) ms, was over" }

  private func unfinished(_ end: StreamEnd, _ what: String) -> Finding {
    switch end {
    case .ended(let after):
      hasMetItsEnd = true
      log(.event, "the server closed the connection" + (after > 0 ? " after \(after) bytes of \(what)" : "") + ending)
      if isLicensed, after == 0 { return Finding(kind: .licensedEnd, found: "the server closed the connection, as it may") }
      return Finding(
        kind: .broken, expected: what, found: "the server closed the connection" + (after > 0 ? " after \(after) bytes of it" : ""))
    case .silent(let after):
      log(.event, "silence for \(settings.timeout) ms")
      return Finding(
        kind: .broken, expected: what,
        found: after > 0 ? "\(after) bytes of it and then silence" : "silence for \(settings.timeout) ms")
    case .late(let after):
      log(.event, timeIsOver)
      return Finding(kind: .broken, expected: what, found: "\(after) bytes of it when \(timeIsOver)")
    }
  }

  /// Whether nothing comes for a moment. Not whether the connection goes on.
  func isQuiet(_ milliseconds: Int? = nil) -> Bool {
    let isQuiet = !stream.hasMore(within: milliseconds ?? settings.quiet)
    if stream.hasEnded { hasMetItsEnd = true }
    log(.event, isQuiet ? "nothing comes" : "more bytes come")
    return isQuiet
  }

  /// Whether the server closes within that time, also where much of what it said waits to be read.
  func isHungUp(within milliseconds: Int) -> Bool {
    let isHungUp = stream.isHungUp(within: milliseconds)
    if isHungUp { hasMetItsEnd = true }
    log(.event, isHungUp ? "the server hangs up" : "the server stays for \(milliseconds) ms")
    return isHungUp
  }

  /// Says that nothing more comes from here, in TLS too, and listens on.
  func endOutput() {
    stream.endOutput()
    log(.event, "we say that nothing more comes" + (isProtected && !stream.hasEnded ? ", with close_notify" : ""))
  }

  /// How the connection ends where nothing more is said: bytes that came before that, and whether it ended at all.
  func end(_ most: Int = 4096) -> (bytes: [UInt8], isEnd: Bool) {
    let bytes = stream.rest(most)
    let isEnd = stream.hasEnded
    if isEnd { hasMetItsEnd = true }
    if !bytes.isEmpty { log(.received, "bytes", [Field("bytes", bytes)]) }
    log(.event, isEnd ? "the server closed the connection" + ending : "the connection stays open")
    return (bytes, isEnd)
  }

  /// Goes without a word.
  func leave() {
    guard !hasLeft else { return }
    hasLeft = true
    stream.end()
    log(.event, "we close the connection")
  }
}

extension ReplyForm {
  /// For messages.
  var name: String {
    switch self {
    case .simple: "simple replies"
    case .structured: "structured replies"
    case .extended: "extended headers"
    }
  }
}

/// The 4 bytes of `value`, and so on.
func bytes<T: FixedWidthInteger & UnsignedInteger>(_ value: T) -> [UInt8] {
  var bytes: [UInt8] = []
  bytes.appendBigEndian(value)
  return bytes
}

/// `text` in UTF-8.
func utf8(_ text: String) -> [UInt8] { Array(text.utf8) }
