"""What every process of the service needs: a loop, packets with descriptors, titles, children."""
