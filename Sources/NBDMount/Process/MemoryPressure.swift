import CLinux
import Glibc
import Logging
import NBDProtocol
import SystemPackage

/// What a process asks of the kernel that has to go on when memory is short: whoever is to be given memory may first have to
/// write what is dirty to our mount, and so waits for us.
///
/// Theory of operation. There are three ways to be in one's own way, and one remedy for each.
///
/// - *Waiting for ourselves.* An allocation that finds no memory writes dirty pages back, perhaps to a file system on a loop
///   device over our own file, and waits; and a thread that writes is slowed down while there are many dirty pages, which it is
///   there to write back. ``becomeIOFlusher()`` exempts us from both.
/// - *Being paged out.* Our own code and data have to be read in again, with memory that nobody has. ``lockMemory()``, where it
///   is asked for: it takes a limit raised or a capability.
/// - *Being killed* to free memory that then stays dirty for ever. ``lowerOOMScore()``.
///
/// The first and the last are inherited by our children: a server that is started for the mount is as much in the way.
/// The data path itself allocates nothing (`Benchmarks/check-allocations.sh`).
enum MemoryPressure {
  /// `OOM_SCORE_ADJ_MIN` of <linux/oom.h>: never killed for memory.
  private static let lowestScore = -1000
  private static let scoreFile: FilePath = "/proc/self/oom_score_adj"

  /// Prepares for it. Before any thread is made, since threads inherit the first; once the log says what it is to say.
  ///
  /// - Parameter dropsPrivileges: the process becomes another user later; its limits stay, its capabilities do not.
  /// - Throws: where the memory is to be locked, and cannot be. The rest is done as far as it is permitted.
  static func prepare(locksMemory: Bool, dropsPrivileges: Bool = false) throws(NBDError) {
    becomeIOFlusher()
    lowerOOMScore()
    if locksMemory { try lockMemory(dropsPrivileges) }
  }

  /// `PR_SET_IO_FLUSHER`, *prctl(2)*: of the calling thread, and of the threads and children that it starts from then on. It
  /// takes CAP_SYS_RESOURCE.
  private static func becomeIOFlusher() {
    if clinux_set_io_flusher() != 0 {
      Logger(label: "nbdmount").debug("cannot become an I/O flusher (PR_SET_IO_FLUSHER): \(Errno(rawValue: errno))")
    }
  }

  /// Lowers the process's `oom_score_adj`, *proc(5)*, as far as the kernel permits: with CAP_SYS_RESOURCE to ``lowestScore``,
  /// and otherwise to what somebody with that capability last set. Which that is, only trying tells.
  private static func lowerOOMScore() {
    guard let text = try? readWholeFile(scoreFile.string),
      let present = Int(String(decoding: text, as: UTF8.self).filter { !$0.isWhitespace })
    else { return Logger(label: "nbdmount").debug("cannot read \(scoreFile)") }
    var permitted = present
    var refused = lowestScore - 1
    var next = lowestScore
    while permitted - refused > 1 {
      if setScore(next) { permitted = next } else { refused = next }
      // Rounded down, so that it stays between the two.
      next = (permitted + refused) >> 1
    }
    if permitted > lowestScore {
      Logger(label: "nbdmount").debug("cannot lower the OOM score (oom_score_adj) below \(permitted)")
    }
  }

  private static func setScore(_ score: Int) -> Bool {
    (try? FileDescriptor.open(scoreFile, .writeOnly, options: .closeOnExec).closeAfterWriting("\(score)")) != nil
  }

  /// *mlockall(2)*: what is mapped now is read in and stays, all of the program's code above all; what is mapped later stays
  /// from when it is first used, so that stacks and buffers take no more memory than they need.
  private static func lockMemory(_ dropsPrivileges: Bool) throws(NBDError) {
    var limit = rlimit()
    if dropsPrivileges {
      limit = rlimit(rlim_cur: .max, rlim_max: .max)
      setrlimit(lockedMemory, &limit)
    }
    // As far as everybody may.
    getrlimit(lockedMemory, &limit)
    limit.rlim_cur = limit.rlim_max
    setrlimit(lockedMemory, &limit)
    // Two calls, since the first is not to hold for what is mapped later.
    guard mlockall(MCL_CURRENT) == 0, mlockall(MCL_FUTURE | MCL_ONFAULT) == 0 else {
      let error = Errno(rawValue: errno)
      guard isLimited(limit), error == .noMemory || error == .notPermitted else {
        throw .system(error, doing: "locking the memory (--mlock)")
      }
      throw tooLow(limit)
    }
    if isLimited(limit), dropsPrivileges || !exceeds(limit) { throw tooLow(limit) }
  }

  private static let lockedMemory = __rlimit_resource_t(__RLIMIT_MEMLOCK.rawValue)

  private static func isLimited(_ limit: rlimit) -> Bool { limit.rlim_cur != rlim_t.max }

  /// Whether more may be locked than the limit says: it does not hold for CAP_IPC_LOCK, which counts only outside of user
  /// namespaces, so that it has to be tried. The kernel counts addresses, those of every stack and of the allocator's reserves,
  /// and not memory: a limit of some size would be reached one day, and whoever asked for memory then would not get any.
  private static func exceeds(_ limit: rlimit) -> Bool {
    let page = 4096
    guard limit.rlim_cur < rlim_t(Int.max - page) else { return false }
    let length = Int(limit.rlim_cur) + page
    // Nothing that could be used, so that it takes no memory.
    guard let memory = mmap(nil, length, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0), memory != MAP_FAILED
    else { return false }
    munmap(memory, length)
    return true
  }

  private static func tooLow(_ limit: rlimit) -> NBDError {
    .invalidArgument(
      "--mlock needs CAP_IPC_LOCK, or no limit on locked memory, which is \(limit.rlim_cur >> 10) KiB (ulimit -l unlimited; in "
        + "a systemd unit, LimitMEMLOCK=infinity)")
  }
}

extension FileDescriptor {
  fileprivate func closeAfterWriting(_ text: String) throws { try closeAfter { _ = try writeAll(text.utf8) } }
}
