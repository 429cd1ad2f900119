/// Where the bits of payloads went, by column, and with a clock the time: the line each part of the codec has in
/// `millrace measure codec`.

public struct ColumnLedger: Sendable {
    public enum Column: Int, CaseIterable, Sendable {
        case header, codes, sections, facts, senders, actions, pools, tokens, parties, literals, amounts,
            turns
        case gas, prices, newAccounts, destroyed, newSlots, accountKeys, accountValues, slotKeys, slotValues
        case form
        /// No bits, only time: what the encoder checks before it writes, running the operations, and putting patches
        /// together with what they predicted.
        case checks, execution, patches
    }

    private var bits = [Double](repeating: 0, count: Column.allCases.count)

    /// Nanoseconds from any beginning, lent by a shell; the codec has no clock.
    public var clock: (@Sendable () -> Int64)?
    private var time = [Int64](repeating: 0, count: Column.allCases.count)
    private var since: Int64 = 0

    public init() {}

    public subscript(_ column: Column) -> Double { bits[column.rawValue] }
    /// Nanoseconds spent on a column so far; 0 without a clock.
    public func nanoseconds(_ column: Column) -> Int64 { time[column.rawValue] }

    /// Time spent from now on belongs to the column that is charged next.
    public mutating func beginTiming() { if let clock { since = clock() } }

    /// What was spent since the last call is the column's.
    mutating func add(_ amount: Double, to column: Column) {
        bits[column.rawValue] += amount
        guard let clock else { return }
        let now = clock()
        time[column.rawValue] += now - since
        since = now
    }
}
