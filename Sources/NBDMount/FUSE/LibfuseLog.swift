import CFuse3
import Glibc
import NBDProtocol
import Synchronization

/// What libfuse says: the reason of an error, where a call of it has failed, else a line on standard error.
enum LibfuseLog {
  private struct State {
    /// libfuse says a line in pieces.
    var line = ""
    /// Lines that are kept for ``calling(otherwise:_:)``; nil while nobody is to explain anything.
    var reasons: [String]?
  }
  private static let state = Mutex(State())

  static func install() {
    fuse_set_log_func { level, format, arguments in
      guard let format, let arguments else { return }
      var buffer = [CChar](repeating: 0, count: 1024)
      vsnprintf(&buffer, buffer.count, format, arguments)
      let bytes = buffer.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }
      LibfuseLog.add(String(decoding: bytes, as: UTF8.self), isError: level.rawValue <= FUSE_LOG_ERR.rawValue)
    }
  }

  /// Makes a call of libfuse, which returns whether it has succeeded.
  ///
  /// - Parameter message: the reason, where libfuse gives none.
  /// - Throws: ``NBDError/invalidArgument(_:)`` with the reason, where it has not.
  static func calling(otherwise message: @autoclosure () -> String, _ call: () -> Bool) throws(NBDError) {
    state.withLock { $0.reasons = [] }
    let succeeded = call()
    let reasons = state.withLock { state in
      defer { state = State() }
      return state.line.isEmpty ? state.reasons ?? [] : (state.reasons ?? []) + [state.line]
    }
    guard succeeded else {
      throw .invalidArgument(reasons.isEmpty ? message() : reasons.joined(separator: "; "))
    }
    for reason in reasons { Diagnostics.warning("libfuse: \(reason)") }
  }

  private static func add(_ piece: String, isError: Bool) {
    for line in lines(piece, isError: isError) {
      if isError { Diagnostics.warning("libfuse: \(line)") } else { Diagnostics.trace("libfuse: \(line)") }
    }
  }

  /// The lines that `piece` completes and that nobody wants to keep.
  private static func lines(_ piece: String, isError: Bool) -> [String] {
    state.withLock { state in
      var parts = (state.line + piece).split(separator: "\n", omittingEmptySubsequences: false).map(String.init)
      state.line = parts.removeLast()
      let lines = parts.filter { !$0.isEmpty }.map { $0.hasPrefix("fuse: ") ? String($0.dropFirst(6)) : $0 }
      guard isError, state.reasons != nil else { return lines }
      state.reasons?.append(contentsOf: lines)
      return []
    }
  }
}
