public import MillraceBase

/// Round trips between named places: regions of a cloud, cities. Tab-separated, names in the first row and in the same order
/// in the first column, milliseconds with decimals, -1 where nothing was measured (Spec 80.7). Bytes in, a matrix or an
/// error that names the line out.
public struct LatencyMatrix: Equatable, Sendable {
    public static let namesMax = 1_024
    public static let bytesMax = 16 << 20
    /// Two minutes: more is a mistake in the file.
    private static let millisecondsMax: UInt64 = 120_000

    public let file: String
    public let names: [String]
    /// Nanoseconds by row, then column; -1: not measured.
    private let roundTrips: [Int64]

    public init(_ bytes: [UInt8], name file: String) throws(LinkFileError) {
        guard bytes.count <= LatencyMatrix.bytesMax else {
            throw LinkFileError(file, 0, "a matrix has at most \(LatencyMatrix.bytesMax >> 20) MiB")
        }
        var lines = TraceFile.Lines(bytes)
        guard let header = lines.next() else { throw LinkFileError(file, 0, "no line in it") }
        var names: [String] = []
        for cell in LatencyMatrix.cells(bytes, header).dropFirst() {
            let text = String(decoding: bytes[cell], as: UTF8.self)
            guard !text.isEmpty, text.utf8.count <= 64, text.utf8.allSatisfy({ $0 >= 0x20 && $0 != 0x7F })
            else {
                throw LinkFileError(
                    file, lines.number, "\(TraceFile.excerpt(bytes, cell)) is not a place's name")
            }
            names.append(text)
            guard names.count <= LatencyMatrix.namesMax else {
                throw LinkFileError(file, lines.number, "more than \(LatencyMatrix.namesMax) places")
            }
        }
        guard !names.isEmpty else {
            throw LinkFileError(file, lines.number, "the first line has the places' names, separated by tabs")
        }
        let sorted = names.sorted()
        for i in sorted.indices.dropFirst() where sorted[i] == sorted[i - 1] {
            throw LinkFileError(file, lines.number, "\"\(sorted[i])\" is there twice")
        }
        var roundTrips: [Int64] = []
        for (row, name) in names.enumerated() {
            guard let line = lines.next() else {
                throw LinkFileError(file, 0, "\(names.count) places, but \(row) rows")
            }
            let cells = LatencyMatrix.cells(bytes, line)
            guard cells.count == names.count + 1 else {
                throw LinkFileError(
                    file, lines.number, "\(cells.count - 1) values for \(names.count) places")
            }
            guard String(decoding: bytes[cells[0]], as: UTF8.self) == name else {
                throw LinkFileError(
                    file, lines.number,
                    "the row of \"\(name)\" was expected: rows are in the order of the first line")
            }
            for cell in cells.dropFirst() {
                guard let value = LatencyMatrix.value(bytes, cell) else {
                    throw LinkFileError(
                        file, lines.number,
                        "\(TraceFile.excerpt(bytes, cell)) is not a round trip in ms, at most "
                            + "\(LatencyMatrix.millisecondsMax), or -1"
                    )
                }
                roundTrips.append(value)
            }
        }
        guard lines.next() == nil else {
            throw LinkFileError(file, lines.number, "more rows than the \(names.count) places")
        }
        self.file = file
        self.names = names
        self.roundTrips = roundTrips
    }

    /// Between the places with these numbers; nil when it was not measured. The diagonal is what the file says.
    public func roundTrip(_ from: Int, _ to: Int) -> Interval? {
        guard names.indices.contains(from), names.indices.contains(to) else { return nil }
        let value = roundTrips[from * names.count + to]
        return value < 0 ? nil : .nanoseconds(value)
    }

    /// Between two places by name; nil when it was not measured.
    public func roundTrip(from: String, to: String) throws(LinkTextError) -> Interval? {
        roundTrip(try place(from), try place(to))
    }

    /// A place's number; case does not matter.
    public func place(_ name: String) throws(LinkTextError) -> Int {
        if let exact = names.firstIndex(of: name) { return exact }
        let lower = name.lowercased()
        if let found = names.firstIndex(where: { $0.lowercased() == lower }) { return found }
        throw LinkTextError(
            description: "\(file): there is no place \"\(name)\"" + Suggestion.hint(for: name, among: names))
    }

    private static func cells(_ bytes: [UInt8], _ line: Range<Int>) -> [Range<Int>] {
        var cells: [Range<Int>] = []
        var first = line.lowerBound
        for i in line where bytes[i] == 0x09 {
            cells.append(first..<i)
            first = i + 1
        }
        cells.append(first..<line.upperBound)
        return cells
    }

    private static func value(_ bytes: [UInt8], _ cell: Range<Int>) -> Int64? {
        if cell.count == 2, bytes[cell.lowerBound] == UInt8(ascii: "-") {
            return bytes[cell.lowerBound + 1] == UInt8(ascii: "1") ? -1 : nil
        }
        guard let (value, end) = TraceFile.number(bytes, cell, decimals: 6, max: millisecondsMax),
            end == cell.upperBound
        else { return nil }
        return Int64(value)
    }
}
