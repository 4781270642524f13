import Glibc
import SystemPackage

/// A file descriptor with exactly one owner, closed when the owner lets go of it.
///
/// Not copyable, so that a descriptor cannot be closed twice: the number may belong to somebody else by then.
public struct OwnedDescriptor: ~Copyable, Sendable {
  /// The number, for system calls made while this value lives.
  public let rawValue: Int32

  /// Takes over an open descriptor; nobody else may close it from now on.
  public init(_ rawValue: Int32) { self.rawValue = rawValue }

  deinit {
    // close(2) is never repeated: on Linux the number is free again even when it fails with EINTR.
    close(rawValue)
  }

  /// Hands the descriptor over to the caller, who must close it.
  public consuming func release() -> Int32 {
    let rawValue = self.rawValue
    discard self
    return rawValue
  }

  /// For swift-system's operations, while this value lives.
  var descriptor: FileDescriptor { FileDescriptor(rawValue: rawValue) }
}

/// Two descriptors that belong together, because tuples cannot hold what is not copyable.
struct DescriptorPair: ~Copyable {
  /// The end that stays here.
  let near: OwnedDescriptor
  /// The end for a child process.
  let far: OwnedDescriptor
}
