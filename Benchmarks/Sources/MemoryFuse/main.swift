// memory-fuse MOUNTPOINT SIZE PIDFILE: one file, MOUNTPOINT/nbd, of SIZE bytes of memory.
//
// What FUSE itself can carry on this machine, with nobody behind it: one thread reads the device and answers reads and
// writes itself, with one system call each way, as nbdmount's reactor engine does; libfuse answers the rest. No client of a
// server can be faster than this.

import CFuse3
import Glibc

func fail(_ message: String) -> Never {
  fputs("memory-fuse: \(message)\n", stderr)
  exit(1)
}

guard CommandLine.arguments.count == 4, let size = Int(CommandLine.arguments[2]), size > 0 else {
  fail("expected MOUNTPOINT SIZE PIDFILE")
}
let mountpoint = CommandLine.arguments[1]
let pidFile = CommandLine.arguments[3]

let session = MemoryFile.mount(at: mountpoint, size: size)
// Asked to end, it ends as after an unmount.
fuse_set_signal_handlers(session)
if let file = fopen(pidFile, "w") {
  fputs("\(getpid())\n", file)
  fclose(file)
} else {
  fail("cannot write \(pidFile)")
}
DeviceLoop(session, size: size).run()
fuse_session_unmount(session)
fuse_session_destroy(session)
unlink(pidFile)
