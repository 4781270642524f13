// What the application sees of errors: numbers of this system, never 512 or more.

import Glibc
import NBDProtocol

extension NBDError {
  /// What the application sees. Only errors that mean something to it pass; a value that the specification does
  /// not know "SHOULD" be treated as EINVAL (*Error values*).
  var errno: Int32 {
    switch self {
    case .server(let code): code.errno
    case .readOnly: EROFS
    case .invalidArgument: EINVAL
    case .unsupported: EOPNOTSUPP
    case .abandoned: EINTR
    case .violation, .refused, .insecure, .disconnected, .timedOut, .system: EIO
    }
  }
}

extension NBDErrorCode {
  /// This system's number for the error.
  var errno: Int32 {
    switch self {
    case .notPermitted: EPERM
    case .ioError, .shutdown: EIO
    case .noMemory: ENOMEM
    case .noSpace: ENOSPC
    case .overflow: EOVERFLOW
    case .notSupported: EOPNOTSUPP
    default: EINVAL
    }
  }
}

extension Outcome {
  /// Zero for success.
  var errno: Int32 {
    switch self {
    case .success: 0
    case .failed(let code): code.errno
    case .abandoned: EINTR
    case .connectionLost: EIO
    }
  }
}
