// Sizes of the compression terms, the same in all their kernels; what each field means: src/cpu/feature_l2.rs.
struct FeatureL2Dims {
    images: u32, first: u32, offset: u32, vectors: u32, block: u32, blocks: u32,
    weighted: u32, index: u32, factor: f32, bounded: u32, accumulate: u32,
}
