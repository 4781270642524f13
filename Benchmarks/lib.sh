# What the scripts of this directory share. Sourced, after Scripts/lib.sh, which sets repo.
# shellcheck shell=bash disable=SC2154

# Sets measured_programs to the options of the Python programs that name what was built.
measured_programs=()

build_measured_programs() {
  local logs=$repo/.build/logs product main own
  mkdir -p "$logs"
  swift_build "$logs/release.log" -c release --product nbdmount
  main=$(cd "$repo" && swift build -c release --show-bin-path)
  for product in memory-fuse AllocationCount; do
    swift_build "$logs/$product.log" --package-path Benchmarks -c release --product "$product"
  done
  own=$(cd "$repo" && swift build --package-path Benchmarks -c release --show-bin-path)
  # shellcheck disable=SC2034
  measured_programs=(
    --nbdmount "$main/nbdmount" --memory-fuse "$own/memory-fuse" --allocation-count "$own/libAllocationCount.so"
    --benchmarks "$repo/Benchmarks"
  )
}
