import Testing

/// `value`, which has to be there; for what `#require` cannot look into, such as a method of a type that cannot be copied.
func present<T>(_ value: T?) throws -> T { try #require(value) }
