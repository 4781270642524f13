import Logging
import NBDProtocol

/// Has the kernel take back a size that the file cannot have.
///
/// With the writeback cache, the kernel is the one who knows a file's size: a buffered write beyond the end succeeds, the
/// file seems to have grown, and the error comes with fsync or close. Nothing that we answer makes it smaller again, but
/// truncating it does; which a child has to do, since we must not wait for our own mount.
enum SizeKeeper {
  /// Tells the kernel the size of a file that is the root of its mount: for that one it never asks.
  static func establish(_ file: ExportFile, _ control: MountControl) throws(NBDError) {
    guard file.cache == .writeback, file.layout.file == FileLayout.root, file.layout.size > 0 else { return }
    let result = try restore(control)
    guard result.succeeded else {
      throw .invalidArgument("cannot give \(control.places.entry.mountpoint) its size: \(result.explanation)")
    }
  }

  private static func restore(_ control: MountControl) throws(NBDError) -> HelperProcess.Result {
    try control.carryOut(.restoreSize, remaining: countdown(Deadlines.truncate))
  }

  /// Watches `file` for as long as the process lives.
  static func start(_ file: ExportFile, _ control: MountControl) throws(NBDError) {
    guard file.cache == .writeback else { return }
    try POSIXThread.startDetached("the keeper of the size") {
      while true {
        file.overrun.wait()
        do throws(NBDError) {
          let result = try restore(control)
          if !result.succeeded { Logger(label: "nbdmount").debug("truncate: \(result.explanation)") }
        } catch {
          Diagnostics.warning("the file may seem larger than it is: \(error)")
        }
      }
    }
  }
}
