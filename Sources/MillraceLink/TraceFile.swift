/// Traces of links as files (Spec 80.7): bytes in, a `RateTrace` or an error that names the line out. Reading the file is
/// the shell's business.
///
///     .mm     Mahimahi: a number a line, milliseconds since the start, ascending; each is the chance to send 1,500 bytes
///     .rate   `# comment`, or `t_ms kbit_per_s`, held until the next row
///
/// Both repeat for ever. Hostile files are bounded by `bytesMax` and by the trace's own limits; cost is linear.

/// What is wrong with a file, and where.
public struct LinkFileError: Error, Equatable, Sendable, CustomStringConvertible {
    public let file: String
    /// From 1; 0 when it is the file as a whole.
    public let line: Int
    public let reason: String

    init(_ file: String, _ line: Int = 0, _ reason: String) {
        (self.file, self.line, self.reason) = (file, line, reason)
    }

    public var description: String { line > 0 ? "\(file):\(line): \(reason)" : "\(file): \(reason)" }
}

public enum TraceFile {
    public static let bytesMax = 64 << 20
    /// A week.
    static let millisecondsMax: UInt64 = 604_800_000
    /// One chance of an `.mm` file, in a millisecond: 12 Mbit/s.
    private static let chanceBitsPerSecond: UInt64 = 1_500 * 8 * 1_000

    public enum Format: Sendable {
        case mahimahi
        case rates

        /// By the end of a file's name. Mahimahi's own traces end in `.down` and `.up`.
        public init?(path: String) {
            let path = path.lowercased()
            if path.hasSuffix(".rate") {
                self = .rates
            } else if path.hasSuffix(".mm") || path.hasSuffix(".down") || path.hasSuffix(".up") {
                self = .mahimahi
            } else {
                return nil
            }
        }
    }

    /// Reads `bytes`; `name` stands in errors and in the link's text.
    public static func parse(_ bytes: [UInt8], format: Format, name: String) throws(LinkFileError)
        -> RateTrace
    {
        guard bytes.count <= bytesMax else {
            throw LinkFileError(name, 0, "a trace has at most \(bytesMax >> 20) MiB")
        }
        switch format {
        case .mahimahi: return try mahimahi(bytes, name)
        case .rates: return try rates(bytes, name)
        }
    }

    /// The period is the last stamp, whose chances fall on the next period's beginning; a chance at t is spread over the
    /// millisecond from t on.
    private static func mahimahi(_ bytes: [UInt8], _ name: String) throws(LinkFileError) -> RateTrace {
        var steps: [RateTrace.Step] = []
        var lines = Lines(bytes)
        var stamp: UInt64 = 0
        var count: UInt64 = 0
        var seen = false
        /// Ends the millisecond `stamp`: a step with its rate, one of nothing if the next stamp is not the next millisecond.
        func close(_ next: UInt64) {
            let at = stamp * 1_000_000
            let rate = count * chanceBitsPerSecond
            if steps.last?.bitsPerSecond != rate { steps.append(.init(start: at, bitsPerSecond: rate)) }
            if next > stamp + 1, rate > 0 { steps.append(.init(start: at + 1_000_000, bitsPerSecond: 0)) }
        }
        while let line = lines.next() {
            guard let (value, end) = number(bytes, line, decimals: 0, max: millisecondsMax),
                end == line.upperBound
            else {
                throw LinkFileError(
                    name, lines.number,
                    "\(excerpt(bytes, line)) is not a whole number of milliseconds, at most \(millisecondsMax)"
                )
            }
            guard value >= stamp else {
                throw LinkFileError(
                    name, lines.number, "stamps ascend, but \(value) follows \(stamp)")
            }
            seen = true
            if value != stamp {
                close(value)
                (stamp, count) = (value, 0)
            }
            count += 1
            guard count * chanceBitsPerSecond <= LinkLimits.bitsPerSecondMax else {
                throw LinkFileError(name, lines.number, "more than 10^12 bit/s in one millisecond")
            }
            guard steps.count < RateTrace.fileStepsMax - 2 else {
                throw LinkFileError(name, lines.number, "more than \(RateTrace.fileStepsMax) changes of rate")
            }
        }
        guard seen else { throw LinkFileError(name, 0, "no stamp in it") }
        guard stamp > 0 else {
            throw LinkFileError(name, 0, "the last stamp must be above 0: it is the period")
        }
        // The last stamp's chances are the first millisecond's; what was there before holds for the rest of its step.
        let first = steps[0].bitsPerSecond
        let until = steps.count > 1 ? steps[1].start : stamp * 1_000_000
        steps[0].bitsPerSecond = first + count * chanceBitsPerSecond
        if until > 1_000_000 { steps.insert(.init(start: 1_000_000, bitsPerSecond: first), at: 1) }
        guard steps[0].bitsPerSecond <= LinkLimits.bitsPerSecondMax else {
            throw LinkFileError(name, lines.number, "more than 10^12 bit/s in one millisecond")
        }
        return try made(steps, period: stamp * 1_000_000, name)
    }

    /// Times count from the first row's; the last row lasts as long as the one before it, a single one a second.
    private static func rates(_ bytes: [UInt8], _ name: String) throws(LinkFileError) -> RateTrace {
        var steps: [RateTrace.Step] = []
        var lines = Lines(bytes)
        var origin: UInt64 = 0
        while let line = lines.next() {
            // Milliseconds to the nanosecond, kbit/s to the bit.
            guard let (at, gap) = number(bytes, line, decimals: 6, max: millisecondsMax),
                case let second = skip(bytes, gap..<line.upperBound), second > gap,
                let (rate, end) = number(
                    bytes, second..<line.upperBound, decimals: 3, max: LinkLimits.bitsPerSecondMax / 1_000),
                end == line.upperBound
            else {
                throw LinkFileError(
                    name, lines.number,
                    "\(excerpt(bytes, line)) is not a time in ms and a rate in kbit/s, such as \"1000 25000\""
                )
            }
            if steps.isEmpty { origin = at }
            guard at >= origin, steps.isEmpty || at - origin > steps[steps.count - 1].start else {
                throw LinkFileError(
                    name, lines.number, "times ascend, but this row's is not after the one before")
            }
            guard steps.count < RateTrace.fileStepsMax else {
                throw LinkFileError(name, lines.number, "more than \(RateTrace.fileStepsMax) rows")
            }
            steps.append(.init(start: at - origin, bitsPerSecond: rate))
        }
        guard let last = steps.last else { throw LinkFileError(name, 0, "no row in it") }
        let length = steps.count > 1 ? last.start - steps[steps.count - 2].start : 1_000_000_000
        guard steps.contains(where: { $0.bitsPerSecond > 0 }) else {
            throw LinkFileError(name, 0, "every rate is 0: nothing would ever leave")
        }
        return try made(steps, period: last.start + length, name)
    }

    private static func made(
        _ steps: [RateTrace.Step], period: UInt64, _ name: String
    ) throws(LinkFileError) -> RateTrace {
        guard
            let trace = RateTrace(
                steps: steps, period: period, form: .file(name, scaleMillionths: 1_000_000))
        else { throw LinkFileError(name, 0, "not a trace that a link can follow") }
        return trace
    }

    // MARK: Text

    /// Ranges of lines that are neither empty nor comments, without the spaces around them and carriage returns.
    struct Lines {
        private let bytes: [UInt8]
        private var position = 0
        /// Of the line last given, from 1.
        private(set) var number = 0

        init(_ bytes: [UInt8]) { self.bytes = bytes }

        mutating func next() -> Range<Int>? {
            while position < bytes.count {
                var first = position
                var end = first
                while end < bytes.count, bytes[end] != 0x0A { end += 1 }
                position = end + 1
                number += 1
                while end > first, TraceFile.isSpace(bytes[end - 1]) || bytes[end - 1] == 0x0D { end -= 1 }
                while first < end, TraceFile.isSpace(bytes[first]) { first += 1 }
                if first < end, bytes[first] != UInt8(ascii: "#") { return first..<end }
            }
            return nil
        }
    }

    static func isSpace(_ byte: UInt8) -> Bool { byte == 0x20 || byte == 0x09 }

    static func skip(_ bytes: [UInt8], _ range: Range<Int>) -> Int {
        var i = range.lowerBound
        while i < range.upperBound, isSpace(bytes[i]) { i += 1 }
        return i
    }

    /// A decimal number at the start of `range`, times 10^decimals, further digits dropped; and where it ends. Nil when there is
    /// none or it is above `max`.
    static func number(
        _ bytes: [UInt8], _ range: Range<Int>, decimals: Int, max most: UInt64
    ) -> (value: UInt64, end: Int)? {
        var i = range.lowerBound
        var value: UInt64 = 0
        while i < range.upperBound, case let digit = bytes[i] &- 48, digit < 10 {
            value = value * 10 + UInt64(digit)
            // Never near 2^64: the largest bound is 10^9 before scaling.
            if value > most { return nil }
            i += 1
        }
        guard i > range.lowerBound else { return nil }
        var left = decimals
        if decimals > 0, i < range.upperBound, bytes[i] == UInt8(ascii: ".") {
            i += 1
            let first = i
            while i < range.upperBound, case let digit = bytes[i] &- 48, digit < 10 {
                if left > 0 {
                    value = value * 10 + UInt64(digit)
                    left -= 1
                }
                i += 1
            }
            guard i > first else { return nil }
        }
        for _ in 0..<left { value *= 10 }
        return (value, i)
    }

    /// What stands there, for an error.
    static func excerpt(_ bytes: [UInt8], _ range: Range<Int>) -> String {
        let some = bytes[range].prefix(24)
        guard some.allSatisfy({ (0x20...0x7E).contains($0) || $0 == 0x09 }) else { return "binary data" }
        let text = String(decoding: some, as: UTF8.self)
        return "\"\(text)\(range.count > 24 ? "…" : "")\""
    }
}
