// swift-tools-version: 6.2
import PackageDescription

// The micro benchmarks, and the programs that Benchmarks/compare.sh measures with. A package of its own, so that
// nobody who builds nbdmount has to fetch the benchmark harness.
//
// The library's sources are compiled here once more, through the links in Sources/: what is measured has `package`
// access, which ends at a package's border, and the name of the package above depends on where it was checked out.
let package = Package(
  name: "Benchmarks",
  products: [
    .executable(name: "memory-fuse", targets: ["MemoryFuse"]),
    .library(name: "AllocationCount", type: .dynamic, targets: ["CAllocationCount"]),
  ],
  dependencies: [
    // Without its traits: the harness then leaves `malloc` alone, which CAllocationCount counts.
    .package(url: "https://github.com/ordo-one/benchmark", .upToNextMinor(from: "1.38.1"), traits: []),
    .package(url: "https://github.com/apple/swift-log", .upToNextMinor(from: "1.16.2")),
    .package(url: "https://github.com/apple/swift-system", .upToNextMinor(from: "1.8.1")),
  ],
  targets: [
    .target(name: "CLinux"),
    .systemLibrary(name: "CFuse3", pkgConfig: "fuse3", providers: [.apt(["libfuse3-dev"])]),
    .systemLibrary(name: "CGnuTLS", pkgConfig: "gnutls", providers: [.apt(["libgnutls28-dev"])]),
    .target(
      name: "NBDProtocol",
      dependencies: [
        "CLinux", "CGnuTLS",
        .product(name: "Logging", package: "swift-log"),
        .product(name: "SystemPackage", package: "swift-system"),
      ],
      // The codec is internal to the library; optimised as ever.
      swiftSettings: [.unsafeFlags(["-enable-testing"])]),

    // Counts calls of malloc and its relatives: linked into a program, or preloaded into nbdmount.
    .target(name: "CAllocationCount"),

    // Nanoseconds and allocations of the codec and the reply machine.
    .executableTarget(
      name: "TransmissionBenchmarks",
      dependencies: [
        "NBDProtocol", "CAllocationCount", .product(name: "Benchmark", package: "benchmark"),
      ],
      path: "TransmissionBenchmarks",
      plugins: [.plugin(name: "BenchmarkPlugin", package: "benchmark")]),

    // The limit that FUSE itself sets: a file in memory, answered without a server.
    .executableTarget(name: "MemoryFuse", dependencies: ["CFuse3"]),
  ],
  swiftLanguageModes: [.v6]
)
