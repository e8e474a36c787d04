#include "slots.h"

#include <cstring>
#include <new>

#include "../memory.h"

namespace lmzip::mix {

Lines::Lines(std::size_t count) {
    memory_.reset(static_cast<std::uint8_t*>(zeros((count + 1) * kBytes)));
    if (!memory_) throw std::bad_alloc();
    start_ = memory_.get() + (kBytes - reinterpret_cast<std::uintptr_t>(memory_.get()) % kBytes) % kBytes;
}

static void prefetch_line([[maybe_unused]] const void* p) {
#if defined(__GNUC__)
    __builtin_prefetch(p);
#endif
}

void Followers::prefetch(std::uint64_t key) const { prefetch_line(line(key)); }

// The first place of the key's follower, or kPlaces; without branches, which nobody could foresee.
std::size_t Followers::seek(const std::uint64_t* words, std::uint64_t key) {
    std::size_t found = kPlaces;
    for (std::size_t i = kPlaces; i-- > 0;) found = words[i] >> 48 == check(key) ? i : found;
    return found;
}

Follower Followers::find(std::uint64_t key) const {
    const std::uint64_t* words = line(key);
    const std::size_t i = seek(words, key);
    return i < kPlaces ? read(words[i]) : Follower{0, 0, false};
}

std::uint64_t& Followers::place(std::uint64_t key) {
    std::uint64_t* words = line(key);
    if (const std::size_t i = seek(words, key); i < kPlaces) return words[i];
    const auto use = [&](std::size_t i) { return words[i] >> 39 & 511; };  // the run, then `branched`
    std::size_t least = 0;
    for (std::size_t i = 1; i < kPlaces; ++i)
        if (use(i) < use(least)) least = i;
    words[least] = check(key) << 48;
    return words[least];
}

void Slots::prefetch(std::uint64_t key) const {
    const std::size_t i = key >> 20 & mask_;
    prefetch_line(lines_.at<Node>(i));
    prefetch_line(lines_.at<Node>(i ^ 1));
}

Node* Slots::find(std::uint64_t key, unsigned group_bits) {
    const std::size_t lines = group_bits > 4 ? 2 : 1;
    const std::size_t i = (key >> 20 & mask_) & ~(lines - 1);
    const auto check = static_cast<std::uint32_t>(key >> 48) | 1;
    Node* first = lines_.at<Node>(i);
    if (first[0] >> 16 == check) return first;
    Node* second = lines_.at<Node>(i ^ lines);
    if (second[0] >> 16 == check) return second;
    // The less used of the two makes room; the other one grows older.
    const bool other = (second[0] & 0xFFFF) < (first[0] & 0xFFFF);
    Node *loser = other ? second : first, *kept = other ? first : second;
    if ((kept[0] & 0xFFFF) > 0) --kept[0];
    std::memset(loser, 0, lines * Lines::kBytes);
    loser[0] = check << 16;
    return loser;
}

}  // namespace lmzip::mix
