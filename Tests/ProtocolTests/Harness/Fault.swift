// What a check of this folder does when it fails. The folder is compiled twice: into the tests, and into the fuzz targets
// (Fuzz/Package.swift), where there is no test to fail.

#if FUZZING
  /// Ends the process: the fuzzer then keeps the input.
  func fault(_ text: @autoclosure () -> String) { fatalError(text()) }
#else
  import Testing

  /// Fails the test that runs.
  func fault(_ text: @autoclosure () -> String) {
    let text = text()
    Issue.record("\(FaultContext.name)\(text)")
  }

  enum FaultContext {
    /// Put in front of what went wrong: the input of the fuzzer that did it.
    @TaskLocal static var name = ""
  }
#endif
