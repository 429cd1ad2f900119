/// The fuzz targets without a fuzzer: their seeds, truncations of them, some hundred mutations drawn from seeds,
/// and every input that ever failed (`Tests/Fuzz/Regressions/<target>/`). A broken promise traps and ends the run; the
/// input is then in the last line printed with MILLRACE_FUZZ_VERBOSE=1.

import Foundation
import MillraceBase
import MillraceFuzz
import MillraceTestSupport
import Testing

private let isVerbose = ProcessInfo.processInfo.environment["MILLRACE_FUZZ_VERBOSE"] == "1"

private func run(_ target: FuzzTarget, _ bytes: [UInt8]) {
    if isVerbose { print(target.name, Hex.encode(bytes)) }
    bytes.withUnsafeBytes { target.run($0) }
}

/// A few changes of the kinds a fuzzer makes.
private func mutated(_ seed: [UInt8], _ generator: inout SeededGenerator) -> [UInt8] {
    var bytes = seed
    for _ in 0...generator.below(3) {
        let at = Int(generator.below(UInt64(bytes.count + 1)))
        switch generator.below(5) {
        case 0 where at < bytes.count: bytes[at] ^= 1 << UInt8(generator.below(8))
        case 1 where at < bytes.count: bytes[at] = [0, 1, 0x7F, 0x80, 0xFF][Int(generator.below(5))]
        case 2 where at < bytes.count: bytes.remove(at: at)
        case 3: bytes.insert(UInt8(truncatingIfNeeded: generator.next()), at: at)
        default:
            bytes.replaceSubrange(at..., with: bytes.prefix(Int(generator.below(UInt64(bytes.count + 1)))))
        }
    }
    return bytes
}

@Test(arguments: FuzzTarget.all.map(\.name))
func `a target survives its seeds, their truncations and mutations of them`(name: String) throws {
    let target = try #require(FuzzTarget.named(name))
    let seeds = target.seeds()
    #expect(!seeds.isEmpty)
    run(target, [])
    for (number, seed) in seeds.enumerated() {
        run(target, seed)
        let stride = max(1, seed.count / 128)
        for count in Swift.stride(from: 0, to: seed.count, by: stride) {
            run(target, Array(seed.prefix(count)))
        }
        var generator = Seed(UInt64(number)).generator("mutations")
        for _ in 0..<(300 / seeds.count) { run(target, mutated(seed, &generator)) }
    }
}

@Test func `an honest peer's seed takes the replica to the end of the stream`() throws {
    let seed = try #require(FuzzTarget.named("replica-peer")?.seeds().first)
    #expect(FuzzTarget.replicaHeight(after: seed) == 4)
}

@Test func `inputs that once failed stay fixed`() throws {
    let folder = TestData.packageRoot.appendingPathComponent("Tests/Fuzz/Regressions")
    for target in FuzzTarget.all {
        let files =
            (try? FileManager.default.contentsOfDirectory(
                at: folder.appendingPathComponent(target.name), includingPropertiesForKeys: nil)) ?? []
        for file in files.sorted(by: { $0.path < $1.path }) { run(target, Array(try Data(contentsOf: file))) }
    }
}

@Test func `the canary sings`() async {
    await #expect(processExitsWith: .failure) {
        Array("mill".utf8).withUnsafeBytes { FuzzTarget.canary.run($0) }
    }
}
