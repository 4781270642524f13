/// One rule that a model server breaks, and nothing else.
struct Violation: Sendable {
  /// The clause.
  let id: String
  /// The name of the ``Offer``.
  var offer = "full"
  /// Other clauses that say the same of the same bytes, so that their checks have to fail too.
  var also: Set<String> = []
  var greeting: (@Sendable ([UInt8]) -> [UInt8])?
  /// Whether client flags are taken; nil leaves it to the server.
  var takesFlags: (@Sendable (UInt32) -> Bool?)?
  /// Another answer to an option. False leaves it to the server.
  var option: (@Sendable (ModelConnection, SeenOption) -> Bool)?
  /// Changes an option reply on its way out.
  var optionReply: (@Sendable (ModelConnection, inout OutgoingReply) -> Void)?
  /// Another answer to a request. False leaves it to the server.
  var request: (@Sendable (ModelConnection, SeenRequest) -> Bool)?
  /// Changes chunks of a reply on their way out.
  var chunks: (@Sendable (ModelConnection, SeenRequest, inout [OutgoingChunk]) -> Void)?
  /// Changes the transmission flags that are said.
  var flags: (@Sendable (ModelConnection, UInt16) -> UInt16)?
  /// Changes the extents of one context.
  var extents: (@Sendable (ModelConnection, SeenRequest, inout [(UInt64, UInt64)]) -> Void)?
  /// Sees the end of the client's input in the middle of something.
  var cut: (@Sendable (ModelConnection, ModelConnection.Place) -> Void)?
  /// Which versions of TLS are taken, as GnuTLS says it, of those that the client offers; nil leaves it to the server.
  var versions: (@Sendable (Set<UInt16>) -> String?)?
  var mistakes: Set<Mistake> = []

  /// It shows only after a moment, as a crash does.
  var takesAMoment: Bool {
    cut != nil || ["HS-003", "HS-016", "TX-015", "OPT-011", "OPT-016", "TX-034", "TLS-011"].contains(id)
  }

  /// Mistakes in how bytes are read, which are not about one message.
  enum Mistake {
    /// What one receive gives is taken for the whole message.
    case trustsSegmentsOfOptions, trustsSegmentsOfRequests
    case ignoresOptionMagic, ignoresRequestMagic, ignoresExtendedMagic
    /// A byte follows the greeting when the client says nothing for a moment.
    case talksBehindGreeting
    case ignoresGarbageForTLS
    /// What came in the clear behind NBD_OPT_STARTTLS is read as if it were inside TLS.
    case carriesClearTextOver
    /// What was agreed on before TLS holds inside it.
    case keepsStructuredReplies, keepsExtendedHeaders, keepsContexts
    /// The connection is closed without the end of TLS.
    case cutsTLSOffAtDisconnect, cutsTLSOffAtAbort
    /// What was read once is kept, whoever changes it.
    case cachesReads
    /// A new connection ends the others.
    case servesOne
    /// A server that is told to end closes at once.
    case endsAtOnce
  }
}

struct SeenOption: Sendable {
  let number: UInt32
  let data: [UInt8]
  /// It is too long to be read.
  var isCutShort = false

  /// The export's name in `NBD_OPT_INFO`, `NBD_OPT_GO` and those about contexts; nil where it does not fit.
  var name: [UInt8]? {
    guard data.count >= 4 else { return nil }
    let count = ConformanceTests.number(data[0..<4])
    return count <= UInt64(data.count - 4) ? Array(data[4..<(4 + Int(count))]) : nil
  }
  /// `NBD_OPT_INFO` and `NBD_OPT_GO`: nil where they do not fit exactly.
  var items: [UInt16]? {
    guard let name, data.count >= name.count + 6 else { return nil }
    let start = name.count + 6
    let count = Int(data[name.count + 4]) << 8 | Int(data[name.count + 5])
    guard data.count == start + 2 * count else { return nil }
    return (0..<count).map { UInt16(data[start + 2 * $0]) << 8 | UInt16(data[start + 2 * $0 + 1]) }
  }
  /// Options about contexts, and what is left behind the last query; nil where they do not fit.
  var queries: (names: [String], rest: Int)? {
    guard let name, data.count >= name.count + 8 else { return nil }
    var place = name.count + 8
    var names: [String] = []
    for _ in 0..<UInt64(ConformanceTests.number(data[(name.count + 4)..<(name.count + 8)])) {
      guard place + 4 <= data.count else { return nil }
      let count = ConformanceTests.number(data[place..<(place + 4)])
      guard count <= UInt64(data.count - place - 4) else { return nil }
      names.append(String(decoding: data[(place + 4)..<(place + 4 + Int(count))], as: UTF8.self))
      place += 4 + Int(count)
    }
    return (names, data.count - place)
  }
  var names: [String] { queries?.names ?? [] }
}

struct SeenRequest: Sendable {
  let flags: UInt16
  let type: UInt16
  let cookie: UInt64
  let offset: UInt64
  let length: UInt64
  var payload: [UInt8] = []

  func isRead(_ offset: UInt64, _ length: UInt64) -> Bool { type == Cmd.read && self.offset == offset && self.length == length }
}

struct OutgoingReply {
  var magic: UInt64 = 0x0003_e889_0455_65a9
  var option: UInt32
  var type: UInt32
  var data: [UInt8]

  var bytes: [UInt8] { be(magic) + be(option) + be(type) + be(UInt32(data.count)) + data }
}

struct OutgoingChunk {
  var type: UInt16
  var flags: UInt16 = 0
  var payload: [UInt8] = []

  static let none: UInt16 = 0, data: UInt16 = 1, hole: UInt16 = 2, status: UInt16 = 5, statusExtended: UInt16 = 6
  static let error: UInt16 = 0x8001, errorOffset: UInt16 = 0x8002

  static func error(_ code: UInt32, _ text: String = "no") -> OutgoingChunk {
    OutgoingChunk(type: error, payload: be(code) + be(UInt16(text.utf8.count)) + ascii(text))
  }
  static func error(_ code: UInt32, at offset: UInt64) -> OutgoingChunk {
    OutgoingChunk(type: errorOffset, payload: be(code) + be(UInt16(0)) + be(offset))
  }
  static func data(_ offset: UInt64, _ bytes: [UInt8]) -> OutgoingChunk { OutgoingChunk(type: data, payload: be(offset) + bytes) }
  static func hole(_ offset: UInt64, _ length: UInt32) -> OutgoingChunk {
    OutgoingChunk(type: hole, payload: be(offset) + be(length))
  }
}
