import CFuse3
import Glibc

/// memory-fuse MOUNTPOINT SIZE PIDFILE: one file, MOUNTPOINT/nbd, of SIZE bytes of memory.
///
/// What FUSE itself can carry on this machine, with nobody behind it: one thread reads the device and answers reads and
/// writes itself, with one system call each way, as nbdmount's reactor engine does; libfuse answers the rest.
@main
enum MemoryFuseCommand {
  static func main() {
    let arguments = CommandLine.arguments
    guard arguments.count == 4, let size = Int(arguments[2]), size > 0 else { fail("expected MOUNTPOINT SIZE PIDFILE") }
    let session = MemoryFile.mount(at: arguments[1], size: size)
    // Asked to end, it ends as after an unmount.
    fuse_set_signal_handlers(session)
    let loop = DeviceLoop(session, size: size)
    // Ready: whoever waits for this file may begin.
    guard let file = fopen(arguments[3], "w") else { fail("cannot write \(arguments[3])") }
    fputs("\(getpid())\n", file)
    fclose(file)
    loop.run()
    fuse_session_unmount(session)
    fuse_session_destroy(session)
    unlink(arguments[3])
  }

  static func fail(_ message: String) -> Never {
    let line = Array("memory-fuse: \(message)\n".utf8)
    _ = write(STDERR_FILENO, line, line.count)
    exit(1)
  }
}
