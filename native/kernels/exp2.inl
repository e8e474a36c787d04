// EXP2 (NUMERICS.md, section 3).

inline F exp2(F y) {
    y = min(max(y, set(-125.0f)), set(125.0f));
    const F k = rint(y);
    const F f = y - k;
    F p = set(0.001326472614891827f);
    p = p * f + set(0.009671512991189957f);
    p = p * f + set(0.05550733581185341f);
    p = p * f + set(0.24022242426872253f);
    p = p * f + set(0.6931470036506653f);
    p = p * f + set(1.0f);
    return from_bits(bits_of(p) + shift_left<23>(to_int(k)));
}

// 2^k for an integer k in -126..127.
inline float power_of_two(float k) {
    const auto exponent = static_cast<std::uint32_t>(static_cast<std::int32_t>(k) + 127);
    return std::bit_cast<float>(exponent << 23);
}
