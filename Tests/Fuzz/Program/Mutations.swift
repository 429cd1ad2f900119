/// `millrace-fuzz mutate`: many inputs a second, each drawn anew from good ones.

#if !MILLRACE_FUZZER
import Foundation
import MillraceBase
import MillraceFuzz

struct Mutations {
    private let target: FuzzTarget
    private let seed: UInt64
    private var bases: [[UInt8]]

    /// Files are taken in the order of their names.
    init(_ target: FuzzTarget, seed: UInt64, folders: [String]) throws {
        self.target = target
        self.seed = seed
        bases = target.seeds()
        for folder in folders {
            for name in try FileManager.default.contentsOfDirectory(atPath: folder).sorted() {
                let bytes = try Data(contentsOf: URL(fileURLWithPath: folder).appendingPathComponent(name))
                bases.append(Array(bytes.prefix(target.bytesMax)))
            }
        }
    }

    /// `5000` or `4000..5000`; nil for anything else.
    static func range(_ text: String) -> Range<UInt64>? {
        let ends = text.components(separatedBy: "..").map { UInt64($0) }
        guard let last = ends.last ?? nil, last < 1 << 60 else { return nil }
        if ends.count == 1 { return 0..<last }
        guard ends.count == 2, let first = ends[0], first <= last else { return nil }
        return first..<last
    }

    func run(_ range: Range<UInt64>) throws {
        let place = "mutate-\(target.name).at"
        let at = try SharedNumber(path: place)
        let start = Date()
        var told = start
        DecodingCost.shared.begin {
            var time = timespec()
            clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time)
            return Int64(time.tv_sec) * 1_000_000_000 + Int64(time.tv_nsec)
        }
        // One generator a thousand inputs: making one costs as much as an input.
        for batch in range.lowerBound / 1_000..<(range.upperBound / 1_000 + 1) {
            var generator = Seed(seed).generator("mutations", batch)
            for number in batch * 1_000..<(batch + 1) * 1_000 {
                let bytes = mutated(&generator)
                guard range.contains(number) else { continue }
                at.value = number
                bytes.withUnsafeBytes { target.run($0) }
            }
            if Date().timeIntervalSince(told) > 30 {
                told = Date()
                say("\(target.name) seed \(seed): \((batch + 1) * 1_000) of \(range.upperBound)")
            }
        }
        let seconds = Date().timeIntervalSince(start)
        let count = range.count
        let rate = Int(Double(count) / max(seconds, 0.001))
        say(
            "\(target.name) clean \(count) inputs in \(Int(seconds)) s, \(rate) a second, seed \(seed), \(bases.count) files"
        )
        sayCost()
        try FileManager.default.removeItem(atPath: place)
    }

    /// For targets that measure it.
    private func sayCost() {
        let (short, long) = DecodingCost.shared.worst
        guard short.bytes + long.bytes > 0 else { return }
        func micro(_ nanoseconds: Int64) -> String { "\(nanoseconds / 1_000) us" }
        say(
            "decoding at worst: \(micro(long.perKiB)) a KiB beyond \(micro(DecodingCost.allowance)) "
                + "(\(micro(long.nanoseconds)) for \(long.bytes) bytes); below \(DecodingCost.bytesMin) bytes "
                + "\(micro(short.nanoseconds)) (\(short.bytes) bytes)")
    }

    /// At once, whoever reads it.
    private func say(_ line: String) { FileHandle.standardOutput.write(Data((line + "\n").utf8)) }

    /// One to four changes: bits, bytes that stand at an edge, bytes put in or taken out, a piece of another input.
    private func mutated(_ generator: inout SeededGenerator) -> [UInt8] {
        var bytes = bases[Int(generator.below(UInt64(bases.count)))]
        for _ in 0...generator.below(4) {
            let at = Int(generator.below(UInt64(bytes.count + 1)))
            switch generator.below(8) {
            case 0, 1: if at < bytes.count { bytes[at] ^= 1 << UInt8(generator.below(8)) }
            case 2: if at < bytes.count { bytes[at] = [0, 1, 0x7F, 0x80, 0xFF][Int(generator.below(5))] }
            case 3: if at < bytes.count { bytes[at] = UInt8(truncatingIfNeeded: generator.next()) }
            case 4: if at < bytes.count { bytes.remove(at: at) }
            case 5: bytes.insert(UInt8(truncatingIfNeeded: generator.next()), at: at)
            case 6: if generator.below(4) == 0 { bytes.removeSubrange(at...) }
            default:
                let other = bases[Int(generator.below(UInt64(bases.count)))]
                let from = Int(generator.below(UInt64(other.count + 1)))
                let length = min(other.count - from, 1 + Int(generator.below(64)))
                bytes.replaceSubrange(at..<min(bytes.count, at + length), with: other[from..<from + length])
            }
        }
        return bytes.count > target.bytesMax ? Array(bytes.prefix(target.bytesMax)) : bytes
    }
}

/// Eight bytes of a file, mapped: what is in them outlives a process that traps.
private final class SharedNumber {
    private let memory: UnsafeMutableRawPointer

    init(path: String) throws {
        let file = open(path, O_RDWR | O_CREAT | O_TRUNC, 0o644)
        guard file >= 0, ftruncate(file, 8) == 0,
            let memory = mmap(nil, 8, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0), memory != MAP_FAILED
        else { throw CocoaError(.fileWriteUnknown) }
        close(file)
        self.memory = memory
    }

    deinit { munmap(memory, 8) }

    var value: UInt64 {
        get { memory.load(as: UInt64.self) }
        set { memory.storeBytes(of: newValue, as: UInt64.self) }
    }
}
#endif
