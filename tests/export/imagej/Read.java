import ij.ImagePlus;
import ij.gui.Roi;
import ij.io.Opener;
import ij.io.RoiDecoder;
import ij.process.ImageStatistics;
import java.io.FileInputStream;
import java.util.Map;
import java.util.TreeMap;
import java.util.zip.ZipInputStream;

/** What ImageJ sees in a TIFF of labels and in a zip of ROIs; a line each. */
public class Read {
    public static void main(String[] args) throws Exception {
        ImagePlus image = new Opener().openImage(args[0]);
        int[] d = image.getDimensions();
        System.out.println("image " + d[0] + " " + d[1] + " " + d[3] + " " + d[4] + " " + image.getBitDepth()
            + " " + image.getCalibration().pixelWidth + " " + image.getCalibration().getUnit());
        for (int n = 1; n <= image.getStackSize(); n++) {
            image.setSliceWithoutUpdate(n);
            Map<Integer, Integer> areas = new TreeMap<>();
            for (int y = 0; y < d[1]; y++)
                for (int x = 0; x < d[0]; x++)
                    areas.merge((int) image.getStack().getProcessor(n).getf(x, y), 1, Integer::sum);
            areas.remove(0);
            System.out.println("plane " + n + " " + areas);
        }
        if (args.length < 2) return;
        try (ZipInputStream zip = new ZipInputStream(new FileInputStream(args[1]))) {
            while (zip.getNextEntry() != null) {
                Roi roi = new RoiDecoder(zip.readAllBytes(), "").getRoi();
                int plane = roi.getPosition() > 0 ? roi.getPosition()
                    : image.getStackIndex(Math.max(1, roi.getCPosition()), Math.max(1, roi.getZPosition()), Math.max(1, roi.getTPosition()));
                image.setSliceWithoutUpdate(plane);
                image.setRoi(roi);
                ij.process.ImageProcessor p = image.getStack().getProcessor(plane);
                p.setRoi(roi);
                ImageStatistics s = ImageStatistics.getStatistics(p, ImageStatistics.MIN_MAX + ImageStatistics.AREA, null);
                System.out.println("roi " + roi.getName() + " " + plane + " " + (int) s.pixelCount + " " + (int) s.min + " " + (int) s.max);
            }
        }
    }
}
