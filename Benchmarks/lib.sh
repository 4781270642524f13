# What the scripts of this directory share. Sourced, after Scripts/lib.sh, which sets repo.
# shellcheck shell=bash disable=SC2154

# Builds nbdmount and the programs that it is measured with, and sets measured_programs to the options of the Python
# programs that name them.
build_measured_programs() {
  local product own
  build_nbdmount
  for product in memory-fuse AllocationCount; do
    swift_build "$logs/$product.log" --package-path Benchmarks -c release --product "$product"
  done
  own=$(cd "$repo" && swift build --package-path Benchmarks -c release --show-bin-path)
  # shellcheck disable=SC2034
  measured_programs=(
    --nbdmount "$NBDMOUNT"
    --memory-fuse "$own/memory-fuse" --allocation-count "$own/libAllocationCount.so"
    --benchmarks "$repo/Benchmarks"
  )
}
