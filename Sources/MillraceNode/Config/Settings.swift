/// The effective settings of a node, each with where it came from.

import Foundation
public import MillraceBase
import TOMLKit

/// What is wrong with a file, a variable or a flag, as one sentence.
public struct ConfigError: Error, CustomStringConvertible {
    public let description: String
    public init(_ description: String) { self.description = description }
}

public struct Settings: Sendable {
    public enum Origin: Equatable, Sendable {
        case builtIn
        case file(String)
        case environment(String)
        case flag

        public var description: String {
            switch self {
            case .builtIn: "default"
            case .file(let path): path
            case .environment(let name): name
            case .flag: "flag"
            }
        }
    }

    private var values: [Setting: (text: String, origin: Origin)] = [:]

    public init() {
        for setting in Setting.allCases { values[setting] = (setting.defaultValue, .builtIn) }
    }

    /// File, then environment, then flags. Unknown keys in the file are errors, with a suggestion where one is near.
    public static func load(file: String?, environment: [String: String], flags: [Setting: String])
        throws -> Settings
    {
        var settings = Settings()
        if let file { try settings.merge(file: file) }
        for setting in Setting.allCases {
            if let text = environment[setting.environmentName] {
                settings.values[setting] = (text, .environment(setting.environmentName))
            }
        }
        for (setting, text) in flags { settings.values[setting] = (text, .flag) }
        try settings.check()
        return settings
    }

    private mutating func merge(file: String) throws {
        guard let data = FileManager.default.contents(atPath: file), data.count <= 1 << 20 else {
            throw ConfigError("\(file): cannot read the configuration file (or it is over 1 MiB)")
        }
        let text = String(decoding: data, as: UTF8.self)
        if let refusal = TOMLGuard.refusal(text) {
            throw ConfigError("\(file):\(refusal.line): \(refusal.sentence)")
        }
        let table: TOMLTable
        do {
            table = try TOMLTable(string: text)
        } catch let error as TOMLParseError {
            throw ConfigError(
                "\(file):\(error.source.begin.line): \(error.description), where TOML was expected")
        } catch {
            throw ConfigError("\(file): \(error)")
        }
        for name in table.keys.sorted() {
            guard let setting = Setting(rawValue: name) else {
                let hint = Suggestion.hint(for: name, among: Setting.allCases.map(\.rawValue))
                throw ConfigError("\(file): unknown key \"\(name)\"\(hint)")
            }
            let text: String
            if let string = table[name]?.string {
                text = string
            } else if let number = table[name]?.int {
                text = String(number)
            } else if let array = table[name]?.array {
                let items = array.compactMap { $0.string }
                guard items.count == array.count else {
                    throw ConfigError("\(file): \"\(name)\" must be a list of strings")
                }
                text = items.joined(separator: ",")
            } else {
                throw ConfigError(
                    "\(file): \"\(name)\" must be a string, a whole number or a list of strings")
            }
            values[setting] = (text, .file(file))
        }
    }

    /// Every number is looked at once here, so that a wrong one is told with its origin before anything starts.
    private func check() throws {
        _ = try integer(.parity, 0...16)
        _ = try integer(.parityMin, 0...16)
        _ = try integer(.retentionMiB, 1...65_536)
        _ = try integer(.parentsWanted, 0...32)
        _ = try integer(.childrenMax, 1...4_096)
        _ = try integer(.childMbitPerSec, 1...100_000)
        _ = try integer(.linkMbitPerSec, 0...100_000)
        _ = try integer(.uplinkMbitPerSec, 0...100_000)
        guard UInt64(text(.chainID)) != nil else { throw wrong(.chainID, "a whole number below 2^64") }
        guard text(.advertise).isEmpty || PeerAddress(text(.advertise)) != nil else {
            throw wrong(.advertise, "HOST:PORT with a numeric address")
        }
        guard listen != nil else { throw wrong(.listen, "HOST:PORT with a numeric address") }
    }

    public func text(_ setting: Setting) -> String { values[setting]?.text ?? setting.defaultValue }
    public func origin(_ setting: Setting) -> Origin { values[setting]?.origin ?? .builtIn }

    public func integer(_ setting: Setting, _ range: ClosedRange<Int>) throws -> Int {
        guard let value = Int(text(setting)), range.contains(value) else {
            throw wrong(setting, "a whole number from \(range.lowerBound) to \(range.upperBound)")
        }
        return value
    }

    public var chainID: UInt64 { UInt64(text(.chainID)) ?? 1 }
    public var listen: PeerAddress? { PeerAddress(text(.listen)) }

    /// An error about one setting that names where its value came from.
    public func wrong(_ setting: Setting, _ expected: String) -> ConfigError {
        ConfigError(
            "\(setting.rawValue) is \"\(text(setting))\" (\(origin(setting).description)); expected \(expected)"
        )
    }
}
