import Glibc
import NBDProtocol
import SystemPackage

/// Descriptors 0, 1 and 2: standard input, output and error, and nothing else.
enum StandardStreams {
  /// The lowest number that is not one of them.
  static let end: Int32 = 3

  /// Puts /dev/null where whoever started us left a descriptor closed. The first thing of all: the next file that is opened
  /// gets the lowest free number, and a connection to a server would then receive what is meant for standard error.
  ///
  /// Not closed on exec: the servers that we start want them open, too.
  static func fillGaps() {
    while true {
      let number = placeholder()
      guard number >= 0 else { return }
      if number >= end {
        close(number)
        return
      }
    }
  }

  /// Moves what is open as `number` to another one, closed on exec, and puts /dev/null in its place.
  ///
  /// - Returns: the new number, ``end`` or above.
  static func vacate(_ number: Int32) throws(NBDError) -> Int32 {
    let moved = fcntl(number, F_DUPFD_CLOEXEC, end)
    guard moved >= 0 else { throw .system(Errno(rawValue: errno), doing: "using file descriptor \(number)") }
    let null = placeholder()
    dup2(null, number)
    close(null)
    return moved
  }

  /// Anything that messages do not get through will do where there is no /dev/null.
  private static func placeholder() -> Int32 {
    let null = open("/dev/null", O_RDWR)
    return null >= 0 ? null : open("/", O_RDONLY)
  }
}
