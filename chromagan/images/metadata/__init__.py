"""What photographs and results say beside their pixels: EXIF, IPTC, XMP, provenance, signatures."""
