# What the scripts of this directory share. Sourced, after Scripts/lib.sh, which sets repo.
# shellcheck shell=bash disable=SC2154

# Sets measured_programs to the options of the Python programs that name what was built.
measured_programs=()

build_nbdmount() {
  mkdir -p "$repo/.build/logs"
  swift_build "$repo/.build/logs/release.log" -c release --product nbdmount
  # shellcheck disable=SC2034
  measured_programs=(--nbdmount "$(cd "$repo" && swift build -c release --show-bin-path)/nbdmount")
}

build_measured_programs() {
  local product own
  build_nbdmount
  for product in memory-fuse AllocationCount; do
    swift_build "$repo/.build/logs/$product.log" --package-path Benchmarks -c release --product "$product"
  done
  own=$(cd "$repo" && swift build --package-path Benchmarks -c release --show-bin-path)
  measured_programs+=(
    --memory-fuse "$own/memory-fuse" --allocation-count "$own/libAllocationCount.so" --benchmarks "$repo/Benchmarks"
  )
}
