/// A system of linear equations over GF(2^8), solved without touching any symbol: the answer says which combination of
/// equations gives each unknown, and the caller applies it to the bytes once.
///
///     equations × unknowns    M · u = s      ──solve──▶   u = T · s
///
/// Gauss–Jordan with the unit matrix beside M. e equations and n unknowns take e·n·(n + e) products of single elements:
/// half a million for 64 of each, five million at most. The memory is kept between systems: 40 KB for the largest.

public struct LinearSystem {
    /// Unknowns of one system: what eight parity symbols for each of sixteen slices determine. And equations: one more than there
    /// are unknowns settles nearly every system.
    public static let unknownsMax = 128
    public static let equationsMax = 144

    public private(set) var unknownCount = 0
    public private(set) var equationCount = 0
    /// Row by row: the unknowns' coefficients, then the combination of equations that the row is.
    private var rows: [UInt8] = []
    private var width = 0

    public init() {}

    /// Starts a system. The caller owes counts within the limits.
    public mutating func begin(unknowns: Int, equations: Int) {
        precondition(
            unknowns <= LinearSystem.unknownsMax && equations <= LinearSystem.equationsMax,
            "a linear system beyond its limits")
        unknownCount = unknowns
        equationCount = equations
        width = unknowns + equations
        rows.removeAll(keepingCapacity: true)
        rows.append(contentsOf: repeatElement(0, count: width * equations))
        for equation in 0..<equations { rows[equation * width + unknowns + equation] = 1 }
    }

    public mutating func set(equation: Int, unknown: Int, _ coefficient: UInt8) {
        rows[equation * width + unknown] = coefficient
    }

    /// Whether every unknown is determined.
    public mutating func solve() -> Bool {
        guard equationCount >= unknownCount else { return false }
        return rows.withUnsafeMutableBufferPointer { rows in
            GaloisField.powers.withUnsafeBufferPointer { powers in
                GaloisField.logarithms.withUnsafeBufferPointer { logarithms in
                    for unknown in 0..<unknownCount {
                        guard
                            let pivot = (unknown..<equationCount).first(where: {
                                rows[$0 * width + unknown] != 0
                            })
                        else { return false }
                        if pivot != unknown {
                            for place in 0..<width {
                                rows.swapAt(pivot * width + place, unknown * width + place)
                            }
                        }
                        let own = unknown * width
                        let scale = 255 - Int(logarithms[Int(rows[own + unknown])])
                        for place in unknown..<width where rows[own + place] != 0 {
                            rows[own + place] = powers[Int(logarithms[Int(rows[own + place])]) + scale]
                        }
                        for other in 0..<equationCount where other != unknown {
                            let factor = rows[other * width + unknown]
                            if factor == 0 { continue }
                            let shift = Int(logarithms[Int(factor)])
                            for place in unknown..<width where rows[own + place] != 0 {
                                rows[other * width + place] ^=
                                    powers[Int(logarithms[Int(rows[own + place])]) + shift]
                            }
                        }
                    }
                    return true
                }
            }
        }
    }

    /// Once solved: how much of `equation`'s right side goes into `unknown`.
    public func share(of equation: Int, in unknown: Int) -> UInt8 {
        rows[unknown * width + unknownCount + equation]
    }
}
