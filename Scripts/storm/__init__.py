"""What Scripts/storm.sh runs: servers that fail, and writers that notice."""
