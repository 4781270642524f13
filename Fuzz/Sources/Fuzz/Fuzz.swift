import CFuzzer
import Foundation

@testable import FuzzTargets

/// Runs one of the targets under libFuzzer. The environment says which, since the command line is libFuzzer's:
///
///     FUZZ_TARGET=uri Fuzz [LIBFUZZER-OPTION]... [FOLDER]...
///     FUZZ_TARGET=uri FUZZ_SEEDS=FOLDER Fuzz       writes the target's seeds there, a file each
///     Fuzz                                         prints the targets' names
@main
enum Fuzz {
  static let target = environment("FUZZ_TARGET").flatMap { FuzzTarget(rawValue: $0) }

  static func main() throws {
    guard let target else { return print(FuzzTarget.allCases.map(\.rawValue).joined(separator: "\n")) }
    if let folder = environment("FUZZ_SEEDS") {
      for seed in target.seeds { try Data(seed.bytes).write(to: URL(filePath: folder).appending(path: seed.name)) }
      return
    }
    var count = CommandLine.argc
    var arguments: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>? = CommandLine.unsafeArgv
    exit(LLVMFuzzerRunDriver(&count, &arguments, { execute($0, $1) }))
  }

  private static func environment(_ name: String) -> String? { ProcessInfo.processInfo.environment[name] }
}

/// Executions in a row that may each leave the heap larger. What is made once, such as a table that Swift's runtime keeps, grows
/// it once, and a leak each time.
private let growthsInARow = 4

/// One execution: the target over these bytes.
private func execute(_ data: UnsafePointer<UInt8>?, _ size: Int) -> CInt {
  let bytes = Array(UnsafeBufferPointer(start: data, count: size))
  for _ in 0..<growthsInARow {
    let before = __sanitizer_get_current_allocated_bytes()
    Fuzz.target?.run(bytes)
    if __sanitizer_get_current_allocated_bytes() <= before { return 0 }
  }
  fatalError("the heap grows with each execution of this input")
}
