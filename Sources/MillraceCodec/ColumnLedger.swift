/// Where the bits of payloads went, by column: the line each part of the codec has in `millrace measure codec`.

public struct ColumnLedger: Sendable {
    public enum Column: Int, CaseIterable, Sendable {
        case header, codes, newAccounts, destroyed, newSlots, accountKeys, accountValues, slotKeys, slotValues
        case form
    }

    private var bits = [Double](repeating: 0, count: Column.allCases.count)

    public init() {}

    public subscript(_ column: Column) -> Double { bits[column.rawValue] }

    mutating func add(_ amount: Double, to column: Column) { bits[column.rawValue] += amount }
}
