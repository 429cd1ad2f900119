/// `millrace-fuzz`. Built with `-sanitize=fuzzer` and MILLRACE_FUZZER (see `Tests/Fuzz/run`), it is a libFuzzer binary
/// whose target is named by the environment variable MILLRACE_FUZZ_TARGET. Built plainly, it lists the targets, writes
/// their seeds, and replays inputs:
///
///     millrace-fuzz list
///     millrace-fuzz seeds TARGET FOLDER
///     millrace-fuzz replay TARGET FILE…
///     millrace-fuzz mutate TARGET [FROM..]TO [SEED [FOLDER…]]
///
/// `mutate` runs mutations FROM (0) to TO of the seeds (and of the files in the folders: a corpus that libFuzzer grew), without a
/// look at coverage and so ten times as many a second: depth from the one, numbers from the other. Input n is a function of
/// SEED, n and the files; a file `mutate-TARGET.at` in the working folder holds n while it runs, and is gone when all ran.

import Foundation
import MillraceFuzz

#if MILLRACE_FUZZER
private let target: FuzzTarget = {
    let name = ProcessInfo.processInfo.environment["MILLRACE_FUZZ_TARGET"] ?? ""
    guard let target = FuzzTarget.named(name) else {
        print("MILLRACE_FUZZ_TARGET names no target: \"\(name)\"")
        exit(2)
    }
    return target
}()

@_cdecl("LLVMFuzzerTestOneInput")
public func fuzzOneInput(_ bytes: UnsafePointer<UInt8>, _ count: Int) -> CInt {
    target.run(UnsafeRawBufferPointer(start: bytes, count: count))
    return 0
}
#else
@main
struct FuzzProgram {
    static func main() throws {
        let arguments = CommandLine.arguments.dropFirst()
        switch arguments.first {
        case "list":
            for target in FuzzTarget.all { print(target.name, target.bytesMax) }
        case "seeds":
            guard let target = arguments.dropFirst().first.flatMap({ FuzzTarget.named($0) }),
                let folder = arguments.dropFirst(2).first
            else { usage() }
            try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
            for (number, seed) in target.seeds().enumerated() {
                try Data(seed).write(
                    to: URL(fileURLWithPath: folder).appendingPathComponent("seed-\(number)"))
            }
        case "replay":
            guard let target = arguments.dropFirst().first.flatMap({ FuzzTarget.named($0) }) else { usage() }
            for path in arguments.dropFirst(2) {
                let bytes = Array(try Data(contentsOf: URL(fileURLWithPath: path)))
                print(target.name, path)
                bytes.withUnsafeBytes { target.run($0) }
            }
        case "mutate":
            let words = Array(arguments.dropFirst())
            guard words.count >= 2, let target = FuzzTarget.named(words[0]),
                let range = Mutations.range(words[1]),
                let seed = words.count > 2 ? UInt64(words[2]) : 1
            else { usage() }
            try Mutations(target, seed: seed, folders: Array(words.dropFirst(3))).run(range)
        default: usage()
        }
    }

    static func usage() -> Never {
        print(
            "usage: millrace-fuzz list | seeds TARGET FOLDER | replay TARGET FILE… | mutate TARGET [FROM..]TO [SEED [FOLDER…]]"
        )
        exit(2)
    }
}
#endif
