// All kernels for the instruction set whose vectors were included before, and their table.

#include "../kernels/exp2.inl"
#include "../kernels/quantize.inl"
#include "../kernels/product.inl"
#ifdef LMZIP_AMX
#include "../kernels/product_amx.inl"
#else
#include "../kernels/product_plain.inl"
#endif
#include "../kernels/matmul.inl"
#include "../kernels/attention.inl"
#include "../kernels/mixing.inl"

constexpr Kernels table(const char* name) {
    return {name,     kAttendRows, embed,  norm_quantize, rotate_quantize, gate_quantize, multiply,
            rotary,   attend, logits,        greatest,        token_weights,
            mix_dots, mix_learn};
}
