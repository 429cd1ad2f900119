/// What stands for a contract's code where the source names it but does not carry it: an invalid instruction (0xFE), then the
/// name. Contracts of one code share it, so that a codec can tell a pair from a token as it could with the real one.

enum StandInCode {
    static func bytes(named name: String) -> [UInt8] { [0xFE] + Array(name.utf8.prefix(64)) }
}
