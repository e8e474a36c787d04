#include "table.h"

#include <algorithm>
#include <cstdlib>
#include <new>

#include "../memory.h"

namespace lmzip::mix {

// Loops over entries go in steps of this many, without branches, so that compilers use vectors.
static constexpr std::size_t kStep = 8;

std::uint16_t Node::find(std::uint32_t token) const {
    const std::uint32_t* e = entries();
    std::size_t i = 0;
    for (; i + kStep <= size; i += kStep) {
        std::uint32_t found = 0;
        for (std::size_t j = 0; j < kStep; ++j) found |= e[i + j] >> 8 == token;
        if (found) break;
    }
    while (i < size && e[i] >> 8 != token) ++i;
    return static_cast<std::uint16_t>(i);
}

std::uint16_t Node::likeliest() const {
    std::int32_t best = 0;  // count, then how far from the end
    for (std::int32_t i = 0; i < size; ++i)
        best = std::max(best, static_cast<std::int32_t>((entries()[i] & 255) << 16) + (0xFFFF - i));
    return static_cast<std::uint16_t>(0xFFFF - (best & 0xFFFF));
}

void Table::Free::operator()(void* p) const { std::free(p); }

Table::Table(unsigned bits, std::size_t most)
    : bits_(bits), most_(most), stride_(sizeof(Node) + most * sizeof(std::uint32_t)) {
    constexpr std::size_t align = 128;
    const std::size_t bytes = (stride_ << bits) + align;
    memory_.reset(static_cast<std::uint8_t*>(zeros(bytes)));
    if (!memory_) throw std::bad_alloc();
    nodes_ = memory_.get() + (align - reinterpret_cast<std::uintptr_t>(memory_.get()) % align);
}

Node& Table::at(std::size_t index) const {
    return *reinterpret_cast<Node*>(nodes_ + index * stride_);
}

void Table::prefetch([[maybe_unused]] std::uint64_t hash) const {
#if defined(__GNUC__)
    const std::size_t index = hash >> (64 - bits_);
    __builtin_prefetch(&at(index));
    __builtin_prefetch(&at(index ^ 1));
#endif
}

Node* Table::seek(std::uint64_t hash) const {
    const std::size_t index = hash >> (64 - bits_);
    const std::uint32_t check = static_cast<std::uint32_t>(hash) | 1;
    for (const std::size_t place : {index, index ^ 1})
        if (at(place).check == check) return &at(place);
    return nullptr;
}

void Table::add(std::uint64_t hash, std::uint32_t token) {
    Node* found = seek(hash);
    if (found == nullptr) {
        const std::size_t index = hash >> (64 - bits_);
        found = at(index).total <= at(index ^ 1).total ? &at(index) : &at(index ^ 1);
        *found = {static_cast<std::uint32_t>(hash) | 1, 0, 0};
    }
    Node& node = *found;
    std::uint32_t* entries = node.entries();
    std::uint16_t place = node.find(token);
    // What did not come now fades.
    const std::uint32_t kept = place < node.size ? entries[place] : 0;
    for (std::size_t i = 0; i < node.size; ++i) entries[i] -= ((entries[i] & 255) * 8 + 128) >> 8;
    if (place < node.size) {
        entries[place] = kept;
    } else {
        if (node.size < most_) {
            ++node.size;
        } else {
            place = 0;
            for (std::uint16_t i = 1; i < node.size; ++i)
                if ((entries[i] & 255) < (entries[place] & 255)) place = i;
        }
        entries[place] = token << 8;
    }
    if ((entries[place] & 255) == 255)
        for (std::size_t i = 0; i < node.size; ++i) entries[i] -= (entries[i] & 255) / 2;
    ++entries[place];
    std::uint32_t total = 0;
    for (std::size_t i = 0; i < node.size; ++i) total += entries[i] & 255;
    node.total = static_cast<std::uint16_t>(total);
}

}  // namespace lmzip::mix
