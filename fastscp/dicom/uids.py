"""UIDs of storage SOP classes and transfer syntaxes with DCMTK's symbolic names and file name prefixes.

The symbolic names are what association profiles and dictionaries of existing installations use, the
prefixes begin storescp's file names. The tables are data; everything else here is a view of them.

Source: PS3.6 Annex A, PS3.4 Annex B.5
"""

from __future__ import annotations

from typing import NamedTuple

VERIFICATION = "1.2.840.10008.1.1"
STORAGE_COMMITMENT = "1.2.840.10008.1.20.1"  #: Push Model (PS3.4 Annex J)
APPLICATION_CONTEXT = "1.2.840.10008.3.1.1.1"

IMPLICIT_VR_LITTLE_ENDIAN = "1.2.840.10008.1.2"
EXPLICIT_VR_LITTLE_ENDIAN = "1.2.840.10008.1.2.1"
EXPLICIT_VR_BIG_ENDIAN = "1.2.840.10008.1.2.2"
DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN = "1.2.840.10008.1.2.1.99"

#: Prefix of file names of SOP classes that have none of their own.
UNKNOWN_PREFIX = "UNKNOWN"


class StorageSOPClass(NamedTuple):
    """One storage SOP class.

    ``name`` is DCMTK's symbolic name; ``keyword`` the one of PS3.6; ``accepted_by_default`` is False for
    classes a storage SCP only accepts when a profile names them.
    """

    uid: str
    name: str
    keyword: str
    prefix: str
    accepted_by_default: bool


class TransferSyntax(NamedTuple):
    """How the data sets of one transfer syntax are encoded (PS3.5 section 10, Annex A).

    ``deflated`` tells that the whole data set is a deflate stream, ``encapsulated`` that Pixel Data of
    undefined length holds fragments.
    """

    uid: str
    name: str
    keyword: str
    explicit_vr: bool = True
    little_endian: bool = True
    deflated: bool = False
    encapsulated: bool = True


# (uid, DCMTK name, PS3.6 keyword, prefix, accepted by default)
_STORAGE_ROWS = (
    ("1.2.840.10008.5.1.1.27", "RETIRED_StoredPrintStorage", "StoredPrintStorage", "SP", True),
    ("1.2.840.10008.5.1.1.29", "RETIRED_HardcopyGrayscaleImageStorage", "HardcopyGrayscaleImageStorage", "HG", True),
    ("1.2.840.10008.5.1.1.30", "RETIRED_HardcopyColorImageStorage", "HardcopyColorImageStorage", "HC", True),
    ("1.2.840.10008.5.1.4.1.1.1", "ComputedRadiographyImageStorage", "ComputedRadiographyImageStorage", "CR", True),
    ("1.2.840.10008.5.1.4.1.1.1.1", "DigitalXRayImageStorageForPresentation", "DigitalXRayImageStorageForPresentation", "DX", True),
    ("1.2.840.10008.5.1.4.1.1.1.1.1", "DigitalXRayImageStorageForProcessing", "DigitalXRayImageStorageForProcessing", "DP", True),
    ("1.2.840.10008.5.1.4.1.1.1.2", "DigitalMammographyXRayImageStorageForPresentation", "DigitalMammographyXRayImageStorageForPresentation", "DXm", True),
    ("1.2.840.10008.5.1.4.1.1.1.2.1", "DigitalMammographyXRayImageStorageForProcessing", "DigitalMammographyXRayImageStorageForProcessing", "DPm", True),
    ("1.2.840.10008.5.1.4.1.1.1.3", "DigitalIntraOralXRayImageStorageForPresentation", "DigitalIntraOralXRayImageStorageForPresentation", "DXo", True),
    ("1.2.840.10008.5.1.4.1.1.1.3.1", "DigitalIntraOralXRayImageStorageForProcessing", "DigitalIntraOralXRayImageStorageForProcessing", "DPo", True),
    ("1.2.840.10008.5.1.4.1.1.2", "CTImageStorage", "CTImageStorage", "CT", True),
    ("1.2.840.10008.5.1.4.1.1.2.1", "EnhancedCTImageStorage", "EnhancedCTImageStorage", "CTe", True),
    ("1.2.840.10008.5.1.4.1.1.2.2", "LegacyConvertedEnhancedCTImageStorage", "LegacyConvertedEnhancedCTImageStorage", "CTl", True),
    ("1.2.840.10008.5.1.4.1.1.3", "RETIRED_UltrasoundMultiframeImageStorage", "UltrasoundMultiFrameImageStorageRetired", "USf", True),
    ("1.2.840.10008.5.1.4.1.1.3.1", "UltrasoundMultiframeImageStorage", "UltrasoundMultiFrameImageStorage", "USm", True),
    ("1.2.840.10008.5.1.4.1.1.4", "MRImageStorage", "MRImageStorage", "MR", True),
    ("1.2.840.10008.5.1.4.1.1.4.1", "EnhancedMRImageStorage", "EnhancedMRImageStorage", "MRe", True),
    ("1.2.840.10008.5.1.4.1.1.4.2", "MRSpectroscopyStorage", "MRSpectroscopyStorage", "MRs", True),
    ("1.2.840.10008.5.1.4.1.1.4.3", "EnhancedMRColorImageStorage", "EnhancedMRColorImageStorage", "MRc", True),
    ("1.2.840.10008.5.1.4.1.1.4.4", "LegacyConvertedEnhancedMRImageStorage", "LegacyConvertedEnhancedMRImageStorage", "MRl", True),
    ("1.2.840.10008.5.1.4.1.1.5", "RETIRED_NuclearMedicineImageStorage", "NuclearMedicineImageStorageRetired", "NMr", True),
    ("1.2.840.10008.5.1.4.1.1.6", "RETIRED_UltrasoundImageStorage", "UltrasoundImageStorageRetired", "USr", True),
    ("1.2.840.10008.5.1.4.1.1.6.1", "UltrasoundImageStorage", "UltrasoundImageStorage", "US", True),
    ("1.2.840.10008.5.1.4.1.1.6.2", "EnhancedUSVolumeStorage", "EnhancedUSVolumeStorage", "USe", True),
    ("1.2.840.10008.5.1.4.1.1.6.3", "PhotoacousticImageStorage", "PhotoacousticImageStorage", "PA", True),
    ("1.2.840.10008.5.1.4.1.1.7", "SecondaryCaptureImageStorage", "SecondaryCaptureImageStorage", "SC", True),
    ("1.2.840.10008.5.1.4.1.1.7.1", "MultiframeSingleBitSecondaryCaptureImageStorage", "MultiFrameSingleBitSecondaryCaptureImageStorage", "SCs", True),
    ("1.2.840.10008.5.1.4.1.1.7.2", "MultiframeGrayscaleByteSecondaryCaptureImageStorage", "MultiFrameGrayscaleByteSecondaryCaptureImageStorage", "SCb", True),
    ("1.2.840.10008.5.1.4.1.1.7.3", "MultiframeGrayscaleWordSecondaryCaptureImageStorage", "MultiFrameGrayscaleWordSecondaryCaptureImageStorage", "SCw", True),
    ("1.2.840.10008.5.1.4.1.1.7.4", "MultiframeTrueColorSecondaryCaptureImageStorage", "MultiFrameTrueColorSecondaryCaptureImageStorage", "SCc", True),
    ("1.2.840.10008.5.1.4.1.1.8", "RETIRED_StandaloneOverlayStorage", "StandaloneOverlayStorage", "OV", True),
    ("1.2.840.10008.5.1.4.1.1.9", "RETIRED_StandaloneCurveStorage", "StandaloneCurveStorage", "CV", True),
    ("1.2.840.10008.5.1.4.1.1.9.1", "DRAFT_WaveformStorage", "WaveformStorageTrial", "WV_d", True),
    ("1.2.840.10008.5.1.4.1.1.9.1.1", "TwelveLeadECGWaveformStorage", "TwelveLeadECGWaveformStorage", "TLE", True),
    ("1.2.840.10008.5.1.4.1.1.9.1.2", "GeneralECGWaveformStorage", "GeneralECGWaveformStorage", "ECG", True),
    ("1.2.840.10008.5.1.4.1.1.9.1.3", "AmbulatoryECGWaveformStorage", "AmbulatoryECGWaveformStorage", "ECA", True),
    ("1.2.840.10008.5.1.4.1.1.9.1.4", "General32BitECGWaveformStorage", "General32bitECGWaveformStorage", "ECGh", True),
    ("1.2.840.10008.5.1.4.1.1.9.2.1", "HemodynamicWaveformStorage", "HemodynamicWaveformStorage", "WVh", True),
    ("1.2.840.10008.5.1.4.1.1.9.3.1", "CardiacElectrophysiologyWaveformStorage", "CardiacElectrophysiologyWaveformStorage", "WVc", True),
    ("1.2.840.10008.5.1.4.1.1.9.4.1", "BasicVoiceAudioWaveformStorage", "BasicVoiceAudioWaveformStorage", "AUV", True),
    ("1.2.840.10008.5.1.4.1.1.9.4.2", "GeneralAudioWaveformStorage", "GeneralAudioWaveformStorage", "AUG", True),
    ("1.2.840.10008.5.1.4.1.1.9.5.1", "ArterialPulseWaveformStorage", "ArterialPulseWaveformStorage", "WVa", True),
    ("1.2.840.10008.5.1.4.1.1.9.6.1", "RespiratoryWaveformStorage", "RespiratoryWaveformStorage", "WVr", True),
    ("1.2.840.10008.5.1.4.1.1.9.6.2", "MultichannelRespiratoryWaveformStorage", "MultichannelRespiratoryWaveformStorage", "WVm", True),
    ("1.2.840.10008.5.1.4.1.1.9.7.1", "RoutineScalpElectroencephalogramWaveformStorage", "RoutineScalpElectroencephalogramWaveformStorage", "EEG", True),
    ("1.2.840.10008.5.1.4.1.1.9.7.2", "ElectromyogramWaveformStorage", "ElectromyogramWaveformStorage", "EMG", True),
    ("1.2.840.10008.5.1.4.1.1.9.7.3", "ElectrooculogramWaveformStorage", "ElectrooculogramWaveformStorage", "EOG", True),
    ("1.2.840.10008.5.1.4.1.1.9.7.4", "SleepElectroencephalogramWaveformStorage", "SleepElectroencephalogramWaveformStorage", "WVs", True),
    ("1.2.840.10008.5.1.4.1.1.9.8.1", "BodyPositionWaveformStorage", "BodyPositionWaveformStorage", "WVb", True),
    ("1.2.840.10008.5.1.4.1.1.9.100.1", "WaveformPresentationStateStorage", "WaveformPresentationStateStorage", "PSw", True),
    ("1.2.840.10008.5.1.4.1.1.9.100.2", "WaveformAcquisitionPresentationStateStorage", "WaveformAcquisitionPresentationStateStorage", "PSq", True),
    ("1.2.840.10008.5.1.4.1.1.10", "RETIRED_StandaloneModalityLUTStorage", "StandaloneModalityLUTStorage", "ML", True),
    ("1.2.840.10008.5.1.4.1.1.11", "RETIRED_StandaloneVOILUTStorage", "StandaloneVOILUTStorage", "VO", True),
    ("1.2.840.10008.5.1.4.1.1.11.1", "GrayscaleSoftcopyPresentationStateStorage", "GrayscaleSoftcopyPresentationStateStorage", "PSg", True),
    ("1.2.840.10008.5.1.4.1.1.11.2", "ColorSoftcopyPresentationStateStorage", "ColorSoftcopyPresentationStateStorage", "PSc", True),
    ("1.2.840.10008.5.1.4.1.1.11.3", "PseudoColorSoftcopyPresentationStateStorage", "PseudoColorSoftcopyPresentationStateStorage", "PSp", True),
    ("1.2.840.10008.5.1.4.1.1.11.4", "BlendingSoftcopyPresentationStateStorage", "BlendingSoftcopyPresentationStateStorage", "PSb", True),
    ("1.2.840.10008.5.1.4.1.1.11.5", "XAXRFGrayscaleSoftcopyPresentationStateStorage", "XAXRFGrayscaleSoftcopyPresentationStateStorage", "PSx", True),
    ("1.2.840.10008.5.1.4.1.1.11.6", "GrayscalePlanarMPRVolumetricPresentationStateStorage", "GrayscalePlanarMPRVolumetricPresentationStateStorage", "VPg", True),
    ("1.2.840.10008.5.1.4.1.1.11.7", "CompositingPlanarMPRVolumetricPresentationStateStorage", "CompositingPlanarMPRVolumetricPresentationStateStorage", "VPc", True),
    ("1.2.840.10008.5.1.4.1.1.11.8", "AdvancedBlendingPresentationStateStorage", "AdvancedBlendingPresentationStateStorage", "PSa", True),
    ("1.2.840.10008.5.1.4.1.1.11.9", "VolumeRenderingVolumetricPresentationStateStorage", "VolumeRenderingVolumetricPresentationStateStorage", "VPv", True),
    ("1.2.840.10008.5.1.4.1.1.11.10", "SegmentedVolumeRenderingVolumetricPresentationStateStorage", "SegmentedVolumeRenderingVolumetricPresentationStateStorage", "VPs", True),
    ("1.2.840.10008.5.1.4.1.1.11.11", "MultipleVolumeRenderingVolumetricPresentationStateStorage", "MultipleVolumeRenderingVolumetricPresentationStateStorage", "UNKNOWN", True),
    ("1.2.840.10008.5.1.4.1.1.11.12", "VariableModalityLUTSoftcopyPresentationStateStorage", "VariableModalityLUTSoftcopyPresentationStateStorage", "PSv", True),
    ("1.2.840.10008.5.1.4.1.1.12.1", "XRayAngiographicImageStorage", "XRayAngiographicImageStorage", "XA", True),
    ("1.2.840.10008.5.1.4.1.1.12.1.1", "EnhancedXAImageStorage", "EnhancedXAImageStorage", "XAe", True),
    ("1.2.840.10008.5.1.4.1.1.12.2", "XRayRadiofluoroscopicImageStorage", "XRayRadiofluoroscopicImageStorage", "RF", True),
    ("1.2.840.10008.5.1.4.1.1.12.2.1", "EnhancedXRFImageStorage", "EnhancedXRFImageStorage", "RFe", True),
    ("1.2.840.10008.5.1.4.1.1.12.3", "RETIRED_XRayAngiographicBiPlaneImageStorage", "XRayAngiographicBiPlaneImageStorage", "XB", True),
    ("1.2.840.10008.5.1.4.1.1.13.1.1", "XRay3DAngiographicImageStorage", "XRay3DAngiographicImageStorage", "XA3", True),
    ("1.2.840.10008.5.1.4.1.1.13.1.2", "XRay3DCraniofacialImageStorage", "XRay3DCraniofacialImageStorage", "XC3", True),
    ("1.2.840.10008.5.1.4.1.1.13.1.3", "BreastTomosynthesisImageStorage", "BreastTomosynthesisImageStorage", "BT", True),
    ("1.2.840.10008.5.1.4.1.1.13.1.4", "BreastProjectionXRayImageStorageForPresentation", "BreastProjectionXRayImageStorageForPresentation", "BX", True),
    ("1.2.840.10008.5.1.4.1.1.13.1.5", "BreastProjectionXRayImageStorageForProcessing", "BreastProjectionXRayImageStorageForProcessing", "BP", True),
    ("1.2.840.10008.5.1.4.1.1.14.1", "IntravascularOpticalCoherenceTomographyImageStorageForPresentation", "IntravascularOpticalCoherenceTomographyImageStorageForPresentation", "OCt", True),
    ("1.2.840.10008.5.1.4.1.1.14.2", "IntravascularOpticalCoherenceTomographyImageStorageForProcessing", "IntravascularOpticalCoherenceTomographyImageStorageForProcessing", "OCp", True),
    ("1.2.840.10008.5.1.4.1.1.20", "NuclearMedicineImageStorage", "NuclearMedicineImageStorage", "NM", True),
    ("1.2.840.10008.5.1.4.1.1.30", "ParametricMapStorage", "ParametricMapStorage", "PM", True),
    ("1.2.840.10008.5.1.4.1.1.66", "RawDataStorage", "RawDataStorage", "RAW", True),
    ("1.2.840.10008.5.1.4.1.1.66.1", "SpatialRegistrationStorage", "SpatialRegistrationStorage", "RGs", True),
    ("1.2.840.10008.5.1.4.1.1.66.2", "SpatialFiducialsStorage", "SpatialFiducialsStorage", "FID", True),
    ("1.2.840.10008.5.1.4.1.1.66.3", "DeformableSpatialRegistrationStorage", "DeformableSpatialRegistrationStorage", "RGd", True),
    ("1.2.840.10008.5.1.4.1.1.66.4", "SegmentationStorage", "SegmentationStorage", "SG", True),
    ("1.2.840.10008.5.1.4.1.1.66.5", "SurfaceSegmentationStorage", "SurfaceSegmentationStorage", "SGs", True),
    ("1.2.840.10008.5.1.4.1.1.66.6", "TractographyResultsStorage", "TractographyResultsStorage", "TR", True),
    ("1.2.840.10008.5.1.4.1.1.66.7", "LabelMapSegmentationStorage", "LabelMapSegmentationStorage", "SGl", True),
    ("1.2.840.10008.5.1.4.1.1.66.8", "HeightMapSegmentationStorage", "HeightMapSegmentationStorage", "SGh", True),
    ("1.2.840.10008.5.1.4.1.1.67", "RealWorldValueMappingStorage", "RealWorldValueMappingStorage", "RWM", True),
    ("1.2.840.10008.5.1.4.1.1.68.1", "SurfaceScanMeshStorage", "SurfaceScanMeshStorage", "SSm", True),
    ("1.2.840.10008.5.1.4.1.1.68.2", "SurfaceScanPointCloudStorage", "SurfaceScanPointCloudStorage", "SSp", True),
    ("1.2.840.10008.5.1.4.1.1.77.1", "RETIRED_VLImageStorage", "VLImageStorageTrial", "VLr", True),
    ("1.2.840.10008.5.1.4.1.1.77.1.1", "VLEndoscopicImageStorage", "VLEndoscopicImageStorage", "VLe", True),
    ("1.2.840.10008.5.1.4.1.1.77.1.1.1", "VideoEndoscopicImageStorage", "VideoEndoscopicImageStorage", "VVe", True),
    ("1.2.840.10008.5.1.4.1.1.77.1.2", "VLMicroscopicImageStorage", "VLMicroscopicImageStorage", "VLm", True),
    ("1.2.840.10008.5.1.4.1.1.77.1.2.1", "VideoMicroscopicImageStorage", "VideoMicroscopicImageStorage", "VVm", True),
    ("1.2.840.10008.5.1.4.1.1.77.1.3", "VLSlideCoordinatesMicroscopicImageStorage", "VLSlideCoordinatesMicroscopicImageStorage", "VLs", True),
    ("1.2.840.10008.5.1.4.1.1.77.1.4", "VLPhotographicImageStorage", "VLPhotographicImageStorage", "VLp", True),
    ("1.2.840.10008.5.1.4.1.1.77.1.4.1", "VideoPhotographicImageStorage", "VideoPhotographicImageStorage", "VVp", True),
    ("1.2.840.10008.5.1.4.1.1.77.1.5.1", "OphthalmicPhotography8BitImageStorage", "OphthalmicPhotography8BitImageStorage", "OPb", True),
    ("1.2.840.10008.5.1.4.1.1.77.1.5.2", "OphthalmicPhotography16BitImageStorage", "OphthalmicPhotography16BitImageStorage", "OPw", True),
    ("1.2.840.10008.5.1.4.1.1.77.1.5.3", "StereometricRelationshipStorage", "StereometricRelationshipStorage", "OPr", True),
    ("1.2.840.10008.5.1.4.1.1.77.1.5.4", "OphthalmicTomographyImageStorage", "OphthalmicTomographyImageStorage", "OPt", True),
    ("1.2.840.10008.5.1.4.1.1.77.1.5.5", "WideFieldOphthalmicPhotographyStereographicProjectionImageStorage", "WideFieldOphthalmicPhotographyStereographicProjectionImageStorage", "OWs", True),
    ("1.2.840.10008.5.1.4.1.1.77.1.5.6", "WideFieldOphthalmicPhotography3DCoordinatesImageStorage", "WideFieldOphthalmicPhotography3DCoordinatesImageStorage", "OW3", True),
    ("1.2.840.10008.5.1.4.1.1.77.1.5.7", "OphthalmicOpticalCoherenceTomographyEnFaceImageStorage", "OphthalmicOpticalCoherenceTomographyEnFaceImageStorage", "OCe", True),
    ("1.2.840.10008.5.1.4.1.1.77.1.5.8", "OphthalmicOpticalCoherenceTomographyBscanVolumeAnalysisStorage", "OphthalmicOpticalCoherenceTomographyBscanVolumeAnalysisStorage", "UNKNOWN", True),
    ("1.2.840.10008.5.1.4.1.1.77.1.6", "VLWholeSlideMicroscopyImageStorage", "VLWholeSlideMicroscopyImageStorage", "VLw", True),
    ("1.2.840.10008.5.1.4.1.1.77.1.7", "DermoscopicPhotographyImageStorage", "DermoscopicPhotographyImageStorage", "VLd", True),
    ("1.2.840.10008.5.1.4.1.1.77.1.8", "ConfocalMicroscopyImageStorage", "ConfocalMicroscopyImageStorage", "CFm", True),
    ("1.2.840.10008.5.1.4.1.1.77.1.9", "ConfocalMicroscopyTiledPyramidalImageStorage", "ConfocalMicroscopyTiledPyramidalImageStorage", "CFt", True),
    ("1.2.840.10008.5.1.4.1.1.77.2", "RETIRED_VLMultiframeImageStorage", "VLMultiFrameImageStorageTrial", "VMr", True),
    ("1.2.840.10008.5.1.4.1.1.78.1", "LensometryMeasurementsStorage", "LensometryMeasurementsStorage", "OPl", True),
    ("1.2.840.10008.5.1.4.1.1.78.2", "AutorefractionMeasurementsStorage", "AutorefractionMeasurementsStorage", "OPa", True),
    ("1.2.840.10008.5.1.4.1.1.78.3", "KeratometryMeasurementsStorage", "KeratometryMeasurementsStorage", "OPk", True),
    ("1.2.840.10008.5.1.4.1.1.78.4", "SubjectiveRefractionMeasurementsStorage", "SubjectiveRefractionMeasurementsStorage", "OPs", True),
    ("1.2.840.10008.5.1.4.1.1.78.5", "VisualAcuityMeasurementsStorage", "VisualAcuityMeasurementsStorage", "OPv", True),
    ("1.2.840.10008.5.1.4.1.1.78.6", "SpectaclePrescriptionReportStorage", "SpectaclePrescriptionReportStorage", "SRs", True),
    ("1.2.840.10008.5.1.4.1.1.78.7", "OphthalmicAxialMeasurementsStorage", "OphthalmicAxialMeasurementsStorage", "OPx", True),
    ("1.2.840.10008.5.1.4.1.1.78.8", "IntraocularLensCalculationsStorage", "IntraocularLensCalculationsStorage", "OPc", True),
    ("1.2.840.10008.5.1.4.1.1.79.1", "MacularGridThicknessAndVolumeReportStorage", "MacularGridThicknessAndVolumeReportStorage", "SRg", True),
    ("1.2.840.10008.5.1.4.1.1.80.1", "OphthalmicVisualFieldStaticPerimetryMeasurementsStorage", "OphthalmicVisualFieldStaticPerimetryMeasurementsStorage", "OPp", True),
    ("1.2.840.10008.5.1.4.1.1.81.1", "OphthalmicThicknessMapStorage", "OphthalmicThicknessMapStorage", "OPm", True),
    ("1.2.840.10008.5.1.4.1.1.82.1", "CornealTopographyMapStorage", "CornealTopographyMapStorage", "CM", True),
    ("1.2.840.10008.5.1.4.1.1.88.1", "DRAFT_SRTextStorage", "TextSRStorageTrial", "SR_t", True),
    ("1.2.840.10008.5.1.4.1.1.88.2", "DRAFT_SRAudioStorage", "AudioSRStorageTrial", "SR_a", True),
    ("1.2.840.10008.5.1.4.1.1.88.3", "DRAFT_SRDetailStorage", "DetailSRStorageTrial", "SR_d", True),
    ("1.2.840.10008.5.1.4.1.1.88.4", "DRAFT_SRComprehensiveStorage", "ComprehensiveSRStorageTrial", "SR_c", True),
    ("1.2.840.10008.5.1.4.1.1.88.11", "BasicTextSRStorage", "BasicTextSRStorage", "SRt", True),
    ("1.2.840.10008.5.1.4.1.1.88.22", "EnhancedSRStorage", "EnhancedSRStorage", "SRe", True),
    ("1.2.840.10008.5.1.4.1.1.88.33", "ComprehensiveSRStorage", "ComprehensiveSRStorage", "SRc", True),
    ("1.2.840.10008.5.1.4.1.1.88.34", "Comprehensive3DSRStorage", "Comprehensive3DSRStorage", "SR3", True),
    ("1.2.840.10008.5.1.4.1.1.88.35", "ExtensibleSRStorage", "ExtensibleSRStorage", "SRx", True),
    ("1.2.840.10008.5.1.4.1.1.88.40", "ProcedureLogStorage", "ProcedureLogStorage", "SRp", True),
    ("1.2.840.10008.5.1.4.1.1.88.50", "MammographyCADSRStorage", "MammographyCADSRStorage", "SRm", True),
    ("1.2.840.10008.5.1.4.1.1.88.59", "KeyObjectSelectionDocumentStorage", "KeyObjectSelectionDocumentStorage", "KO", True),
    ("1.2.840.10008.5.1.4.1.1.88.65", "ChestCADSRStorage", "ChestCADSRStorage", "SRh", True),
    ("1.2.840.10008.5.1.4.1.1.88.67", "XRayRadiationDoseSRStorage", "XRayRadiationDoseSRStorage", "SRd", True),
    ("1.2.840.10008.5.1.4.1.1.88.68", "RadiopharmaceuticalRadiationDoseSRStorage", "RadiopharmaceuticalRadiationDoseSRStorage", "SRr", True),
    ("1.2.840.10008.5.1.4.1.1.88.69", "ColonCADSRStorage", "ColonCADSRStorage", "SRo", True),
    ("1.2.840.10008.5.1.4.1.1.88.70", "ImplantationPlanSRStorage", "ImplantationPlanSRStorage", "SRi", True),
    ("1.2.840.10008.5.1.4.1.1.88.71", "AcquisitionContextSRStorage", "AcquisitionContextSRStorage", "SRa", True),
    ("1.2.840.10008.5.1.4.1.1.88.72", "SimplifiedAdultEchoSRStorage", "SimplifiedAdultEchoSRStorage", "SRu", True),
    ("1.2.840.10008.5.1.4.1.1.88.73", "PatientRadiationDoseSRStorage", "PatientRadiationDoseSRStorage", "SRq", True),
    ("1.2.840.10008.5.1.4.1.1.88.74", "PlannedImagingAgentAdministrationSRStorage", "PlannedImagingAgentAdministrationSRStorage", "SRj", True),
    ("1.2.840.10008.5.1.4.1.1.88.75", "PerformedImagingAgentAdministrationSRStorage", "PerformedImagingAgentAdministrationSRStorage", "SRi", True),
    ("1.2.840.10008.5.1.4.1.1.88.76", "EnhancedXRayRadiationDoseSRStorage", "EnhancedXRayRadiationDoseSRStorage", "SRde", True),
    ("1.2.840.10008.5.1.4.1.1.88.77", "WaveformAnnotationSRStorage", "WaveformAnnotationSRStorage", "SRw", True),
    ("1.2.840.10008.5.1.4.1.1.90.1", "ContentAssessmentResultsStorage", "ContentAssessmentResultsStorage", "AS", True),
    ("1.2.840.10008.5.1.4.1.1.91.1", "MicroscopyBulkSimpleAnnotationsStorage", "MicroscopyBulkSimpleAnnotationsStorage", "MAs", True),
    ("1.2.840.10008.5.1.4.1.1.104.1", "EncapsulatedPDFStorage", "EncapsulatedPDFStorage", "PDF", True),
    ("1.2.840.10008.5.1.4.1.1.104.2", "EncapsulatedCDAStorage", "EncapsulatedCDAStorage", "CDA", True),
    ("1.2.840.10008.5.1.4.1.1.104.3", "EncapsulatedSTLStorage", "EncapsulatedSTLStorage", "STL", True),
    ("1.2.840.10008.5.1.4.1.1.104.4", "EncapsulatedOBJStorage", "EncapsulatedOBJStorage", "OBJ", True),
    ("1.2.840.10008.5.1.4.1.1.104.5", "EncapsulatedMTLStorage", "EncapsulatedMTLStorage", "MTL", True),
    ("1.2.840.10008.5.1.4.1.1.128", "PositronEmissionTomographyImageStorage", "PositronEmissionTomographyImageStorage", "PI", True),
    ("1.2.840.10008.5.1.4.1.1.128.1", "LegacyConvertedEnhancedPETImageStorage", "LegacyConvertedEnhancedPETImageStorage", "PIl", True),
    ("1.2.840.10008.5.1.4.1.1.129", "RETIRED_StandalonePETCurveStorage", "StandalonePETCurveStorage", "PC", True),
    ("1.2.840.10008.5.1.4.1.1.130", "EnhancedPETImageStorage", "EnhancedPETImageStorage", "PIe", True),
    ("1.2.840.10008.5.1.4.1.1.131", "BasicStructuredDisplayStorage", "BasicStructuredDisplayStorage", "SD", True),
    ("1.2.840.10008.5.1.4.1.1.200.1", "CTDefinedProcedureProtocolStorage", "CTDefinedProcedureProtocolStorage", "PPcd", False),
    ("1.2.840.10008.5.1.4.1.1.200.2", "CTPerformedProcedureProtocolStorage", "CTPerformedProcedureProtocolStorage", "PPcp", True),
    ("1.2.840.10008.5.1.4.1.1.200.3", "ProtocolApprovalStorage", "ProtocolApprovalStorage", "PAp", False),
    ("1.2.840.10008.5.1.4.1.1.200.7", "XADefinedProcedureProtocolStorage", "XADefinedProcedureProtocolStorage", "PPxd", False),
    ("1.2.840.10008.5.1.4.1.1.200.8", "XAPerformedProcedureProtocolStorage", "XAPerformedProcedureProtocolStorage", "PPxp", True),
    ("1.2.840.10008.5.1.4.1.1.201.1", "InventoryStorage", "InventoryStorage", "INV", False),
    ("1.2.840.10008.5.1.4.1.1.481.1", "RTImageStorage", "RTImageStorage", "RI", True),
    ("1.2.840.10008.5.1.4.1.1.481.2", "RTDoseStorage", "RTDoseStorage", "RD", True),
    ("1.2.840.10008.5.1.4.1.1.481.3", "RTStructureSetStorage", "RTStructureSetStorage", "RS", True),
    ("1.2.840.10008.5.1.4.1.1.481.4", "RTBeamsTreatmentRecordStorage", "RTBeamsTreatmentRecordStorage", "RTb", True),
    ("1.2.840.10008.5.1.4.1.1.481.5", "RTPlanStorage", "RTPlanStorage", "RP", True),
    ("1.2.840.10008.5.1.4.1.1.481.6", "RTBrachyTreatmentRecordStorage", "RTBrachyTreatmentRecordStorage", "RTr", True),
    ("1.2.840.10008.5.1.4.1.1.481.7", "RTTreatmentSummaryRecordStorage", "RTTreatmentSummaryRecordStorage", "RTs", True),
    ("1.2.840.10008.5.1.4.1.1.481.8", "RTIonPlanStorage", "RTIonPlanStorage", "RPi", True),
    ("1.2.840.10008.5.1.4.1.1.481.9", "RTIonBeamsTreatmentRecordStorage", "RTIonBeamsTreatmentRecordStorage", "RTi", True),
    ("1.2.840.10008.5.1.4.1.1.481.10", "RTPhysicianIntentStorage", "RTPhysicianIntentStorage", "RIp", True),
    ("1.2.840.10008.5.1.4.1.1.481.11", "RTSegmentAnnotationStorage", "RTSegmentAnnotationStorage", "RAs", True),
    ("1.2.840.10008.5.1.4.1.1.481.12", "RTRadiationSetStorage", "RTRadiationSetStorage", "RSe", True),
    ("1.2.840.10008.5.1.4.1.1.481.13", "CArmPhotonElectronRadiationStorage", "CArmPhotonElectronRadiationStorage", "Rca", True),
    ("1.2.840.10008.5.1.4.1.1.481.14", "TomotherapeuticRadiationStorage", "TomotherapeuticRadiationStorage", "Rto", True),
    ("1.2.840.10008.5.1.4.1.1.481.15", "RoboticArmRadiationStorage", "RoboticArmRadiationStorage", "Rra", True),
    ("1.2.840.10008.5.1.4.1.1.481.16", "RTRadiationRecordSetStorage", "RTRadiationRecordSetStorage", "RSr", True),
    ("1.2.840.10008.5.1.4.1.1.481.17", "RTRadiationSalvageRecordStorage", "RTRadiationSalvageRecordStorage", "RRs", True),
    ("1.2.840.10008.5.1.4.1.1.481.18", "TomotherapeuticRadiationRecordStorage", "TomotherapeuticRadiationRecordStorage", "RRt", True),
    ("1.2.840.10008.5.1.4.1.1.481.19", "CArmPhotonElectronRadiationRecordStorage", "CArmPhotonElectronRadiationRecordStorage", "RRc", True),
    ("1.2.840.10008.5.1.4.1.1.481.20", "RoboticRadiationRecordStorage", "RoboticRadiationRecordStorage", "RRr", True),
    ("1.2.840.10008.5.1.4.1.1.481.21", "RTRadiationSetDeliveryInstructionStorage", "RTRadiationSetDeliveryInstructionStorage", "RSd", True),
    ("1.2.840.10008.5.1.4.1.1.481.22", "RTTreatmentPreparationStorage", "RTTreatmentPreparationStorage", "RTp", True),
    ("1.2.840.10008.5.1.4.1.1.481.23", "EnhancedRTImageStorage", "EnhancedRTImageStorage", "RIe", True),
    ("1.2.840.10008.5.1.4.1.1.481.24", "EnhancedContinuousRTImageStorage", "EnhancedContinuousRTImageStorage", "RIc", True),
    ("1.2.840.10008.5.1.4.1.1.481.25", "RTPatientPositionAcquisitionInstructionStorage", "RTPatientPositionAcquisitionInstructionStorage", "RPp", True),
    ("1.2.840.10008.5.1.4.1.1.501.1", "DICOS_CTImageStorage", "DICOSCTImageStorage", "CTs", True),
    ("1.2.840.10008.5.1.4.1.1.501.2.1", "DICOS_DigitalXRayImageStorageForPresentation", "DICOSDigitalXRayImageStorageForPresentation", "DXs", True),
    ("1.2.840.10008.5.1.4.1.1.501.2.2", "DICOS_DigitalXRayImageStorageForProcessing", "DICOSDigitalXRayImageStorageForProcessing", "DPs", True),
    ("1.2.840.10008.5.1.4.1.1.501.3", "DICOS_ThreatDetectionReportStorage", "DICOSThreatDetectionReportStorage", "TDR", True),
    ("1.2.840.10008.5.1.4.1.1.501.4", "DICOS_2DAITStorage", "DICOS2DAITStorage", "AI2", True),
    ("1.2.840.10008.5.1.4.1.1.501.5", "DICOS_3DAITStorage", "DICOS3DAITStorage", "AI3", True),
    ("1.2.840.10008.5.1.4.1.1.501.6", "DICOS_QuadrupoleResonanceStorage", "DICOSQuadrupoleResonanceStorage", "QR", True),
    ("1.2.840.10008.5.1.4.1.1.601.1", "DICONDE_EddyCurrentImageStorage", "EddyCurrentImageStorage", "EC", True),
    ("1.2.840.10008.5.1.4.1.1.601.2", "DICONDE_EddyCurrentMultiframeImageStorage", "EddyCurrentMultiFrameImageStorage", "ECm", True),
    ("1.2.840.10008.5.1.4.1.1.601.3", "DICONDE_ThermographyImageStorage", "ThermographyImageStorage", "TG", True),
    ("1.2.840.10008.5.1.4.1.1.601.4", "DICONDE_ThermographyMultiFrameImageStorage", "ThermographyMultiFrameImageStorage", "TGm", True),
    ("1.2.840.10008.5.1.4.1.1.601.5", "DICONDE_UltrasoundWaveformStorage", "UltrasoundWaveformStorage", "UW", True),
    ("1.2.840.10008.5.1.4.34.1", "DRAFT_RTBeamsDeliveryInstructionStorage", "RTBeamsDeliveryInstructionStorageTrial", "RB_d", True),
    ("1.2.840.10008.5.1.4.34.7", "RTBeamsDeliveryInstructionStorage", "RTBeamsDeliveryInstructionStorage", "RTd", True),
    ("1.2.840.10008.5.1.4.34.10", "RTBrachyApplicationSetupDeliveryInstructionStorage", "RTBrachyApplicationSetupDeliveryInstructionStorage", "RTa", True),
    ("1.2.840.10008.5.1.4.38.1", "HangingProtocolStorage", "HangingProtocolStorage", "HP", False),
    ("1.2.840.10008.5.1.4.39.1", "ColorPaletteStorage", "ColorPaletteStorage", "CP", False),
    ("1.2.840.10008.5.1.4.43.1", "GenericImplantTemplateStorage", "GenericImplantTemplateStorage", "IT", False),
    ("1.2.840.10008.5.1.4.44.1", "ImplantAssemblyTemplateStorage", "ImplantAssemblyTemplateStorage", "ITa", False),
    ("1.2.840.10008.5.1.4.45.1", "ImplantTemplateGroupStorage", "ImplantTemplateGroupStorage", "ITg", False),
)

# (uid, DCMTK name, PS3.6 keyword); encapsulated explicit little endian unless listed below
_TRANSFER_SYNTAX_ROWS = (
    ("1.2.840.10008.1.2", "LittleEndianImplicit", "ImplicitVRLittleEndian"),
    ("1.2.840.10008.1.2.1", "LittleEndianExplicit", "ExplicitVRLittleEndian"),
    ("1.2.840.10008.1.2.2", "BigEndianExplicit", "ExplicitVRBigEndian"),
    ("1.2.840.10008.1.2.1.98", "EncapsulatedUncompressedLittleEndianExplicit", "EncapsulatedUncompressedExplicitVRLittleEndian"),
    ("1.2.840.10008.1.2.4.50", "JPEGBaseline", "JPEGBaseline8Bit"),
    ("1.2.840.10008.1.2.4.51", "JPEGExtended:Process2+4", "JPEGExtended12Bit"),
    ("1.2.840.10008.1.2.4.52", "JPEGExtended:Process3+5", "JPEGExtended35"),
    ("1.2.840.10008.1.2.4.53", "JPEGSpectralSelection:Non-hierarchical:Process6+8", "JPEGSpectralSelectionNonHierarchical68"),
    ("1.2.840.10008.1.2.4.54", "JPEGSpectralSelection:Non-hierarchical:Process7+9", "JPEGSpectralSelectionNonHierarchical79"),
    ("1.2.840.10008.1.2.4.55", "JPEGFullProgression:Non-hierarchical:Process10+12", "JPEGFullProgressionNonHierarchical1012"),
    ("1.2.840.10008.1.2.4.56", "JPEGFullProgression:Non-hierarchical:Process11+13", "JPEGFullProgressionNonHierarchical1113"),
    ("1.2.840.10008.1.2.4.57", "JPEGLossless:Non-hierarchical:Process14", "JPEGLossless"),
    ("1.2.840.10008.1.2.4.58", "JPEGLossless:Non-hierarchical:Process15", "JPEGLosslessNonHierarchical15"),
    ("1.2.840.10008.1.2.4.59", "JPEGExtended:Hierarchical:Process16+18", "JPEGExtendedHierarchical1618"),
    ("1.2.840.10008.1.2.4.60", "JPEGExtended:Hierarchical:Process17+19", "JPEGExtendedHierarchical1719"),
    ("1.2.840.10008.1.2.4.61", "JPEGSpectralSelection:Hierarchical:Process20+22", "JPEGSpectralSelectionHierarchical2022"),
    ("1.2.840.10008.1.2.4.62", "JPEGSpectralSelection:Hierarchical:Process21+23", "JPEGSpectralSelectionHierarchical2123"),
    ("1.2.840.10008.1.2.4.63", "JPEGFullProgression:Hierarchical:Process24+26", "JPEGFullProgressionHierarchical2426"),
    ("1.2.840.10008.1.2.4.64", "JPEGFullProgression:Hierarchical:Process25+27", "JPEGFullProgressionHierarchical2527"),
    ("1.2.840.10008.1.2.4.65", "JPEGLossless:Hierarchical:Process28", "JPEGLosslessHierarchical28"),
    ("1.2.840.10008.1.2.4.66", "JPEGLossless:Hierarchical:Process29", "JPEGLosslessHierarchical29"),
    ("1.2.840.10008.1.2.4.70", "JPEGLossless:Non-hierarchical-1stOrderPrediction", "JPEGLosslessSV1"),
    ("1.2.840.10008.1.2.4.80", "JPEGLSLossless", "JPEGLSLossless"),
    ("1.2.840.10008.1.2.4.81", "JPEGLSLossy", "JPEGLSNearLossless"),
    ("1.2.840.10008.1.2.5", "RLELossless", "RLELossless"),
    ("1.2.840.10008.1.2.1.99", "DeflatedLittleEndianExplicit", "DeflatedExplicitVRLittleEndian"),
    ("1.2.840.10008.1.2.8.1", "DeflatedImageFrameCompression", "DeflatedImageFrameCompression"),
    ("1.2.840.10008.1.2.4.90", "JPEG2000LosslessOnly", "JPEG2000Lossless"),
    ("1.2.840.10008.1.2.4.91", "JPEG2000", "JPEG2000"),
    ("1.2.840.10008.1.2.4.92", "JPEG2000MulticomponentLosslessOnly", "JPEG2000MCLossless"),
    ("1.2.840.10008.1.2.4.93", "JPEG2000Multicomponent", "JPEG2000MC"),
    ("1.2.840.10008.1.2.4.94", "JPIPReferenced", "JPIPReferenced"),
    ("1.2.840.10008.1.2.4.95", "JPIPReferencedDeflate", "JPIPReferencedDeflate"),
    ("1.2.840.10008.1.2.4.100", "MPEG2MainProfile@MainLevel", "MPEG2MPML"),
    ("1.2.840.10008.1.2.4.100.1", "FragmentableMPEG2MainProfile/MainLevel", "MPEG2MPMLF"),
    ("1.2.840.10008.1.2.4.101", "MPEG2MainProfile@HighLevel", "MPEG2MPHL"),
    ("1.2.840.10008.1.2.4.101.1", "FragmentableMPEG2MainProfile/HighLevel", "MPEG2MPHLF"),
    ("1.2.840.10008.1.2.4.102", "MPEG4HighProfile/Level4.1", "MPEG4HP41"),
    ("1.2.840.10008.1.2.4.102.1", "FragmentableMPEG4HighProfile/Level4.1", "MPEG4HP41F"),
    ("1.2.840.10008.1.2.4.103", "MPEG4BDcompatibleHighProfile/Level4.1", "MPEG4HP41BD"),
    ("1.2.840.10008.1.2.4.103.1", "FragmentableMPEG4BDcompatibleHighProfile/Level4.1", "MPEG4HP41BDF"),
    ("1.2.840.10008.1.2.4.104", "MPEG4HighProfile/Level4.2For2DVideo", "MPEG4HP422D"),
    ("1.2.840.10008.1.2.4.104.1", "FragmentableMPEG4HighProfile/Level4.2For2DVideo", "MPEG4HP422DF"),
    ("1.2.840.10008.1.2.4.105", "MPEG4HighProfile/Level4.2For3DVideo", "MPEG4HP423D"),
    ("1.2.840.10008.1.2.4.105.1", "FragmentableMPEG4HighProfile/Level4.2For3DVideo", "MPEG4HP423DF"),
    ("1.2.840.10008.1.2.4.106", "MPEG4StereoHighProfile/Level4.2", "MPEG4HP42STEREO"),
    ("1.2.840.10008.1.2.4.106.1", "FragmentableMPEG4StereoHighProfile/Level4.2", "MPEG4HP42STEREOF"),
    ("1.2.840.10008.1.2.4.107", "HEVCMainProfile/Level5.1", "HEVCMP51"),
    ("1.2.840.10008.1.2.4.108", "HEVCMain10Profile/Level5.1", "HEVCM10P51"),
    ("1.2.840.10008.1.2.4.110", "JPEGXLLossless", "JPEGXLLossless"),
    ("1.2.840.10008.1.2.4.111", "JPEGXLJPEGRecompression", "JPEGXLJPEGRecompression"),
    ("1.2.840.10008.1.2.4.112", "JPEGXL", "JPEGXL"),
    ("1.2.840.10008.1.2.4.201", "HighThroughputJPEG2000ImageCompressionLosslessOnly", "HTJ2KLossless"),
    ("1.2.840.10008.1.2.4.202", "HighThroughputJPEG2000withRPCLOptionsImageCompressionLosslessOnly", "HTJ2KLosslessRPCL"),
    ("1.2.840.10008.1.2.4.203", "HighThroughputJPEG2000ImageCompression", "HTJ2K"),
    ("1.2.840.10008.1.2.4.204", "JPIPHTJ2KReferenced", "JPIPHTJ2KReferenced"),
    ("1.2.840.10008.1.2.4.205", "JPIPHTJ2KReferencedDeflate", "JPIPHTJ2KReferencedDeflate"),
    ("1.2.840.10008.1.2.7.1", "SMPTEST2110-20:UncompressedProgressiveActiveVideo", "SMPTEST211020UncompressedProgressiveActiveVideo"),
    ("1.2.840.10008.1.2.7.2", "SMPTEST2110-20:UncompressedInterlacedActiveVideo", "SMPTEST211020UncompressedInterlacedActiveVideo"),
    ("1.2.840.10008.1.2.7.3", "SMPTEST2110-30:PCMDigitalAudio", "SMPTEST211030PCMDigitalAudio"),
    ("1.2.840.10008.1.2.6.1", "RETIRED_RFC2557MIMEEncapsulation", "RFC2557MIMEEncapsulation"),
    ("1.2.840.10008.1.2.6.2", "RETIRED_XMLEncoding", "XMLEncoding"),
)

#: Pixel Data in native format (PS3.5 Annex A.1 to A.3 and A.5).
NATIVE_TRANSFER_SYNTAXES = frozenset({IMPLICIT_VR_LITTLE_ENDIAN, EXPLICIT_VR_LITTLE_ENDIAN, EXPLICIT_VR_BIG_ENDIAN,
                                      DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN})
_DEFLATED = frozenset({
    DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN,
    "1.2.840.10008.1.2.4.95",   # JPIP Referenced Deflate
    "1.2.840.10008.1.2.4.205",  # JPIP HTJ2K Referenced Deflate
})


def _transfer_syntax(uid: str, name: str, keyword: str) -> TransferSyntax:
    return TransferSyntax(
        uid, name, keyword,
        explicit_vr=uid != IMPLICIT_VR_LITTLE_ENDIAN,
        little_endian=uid != EXPLICIT_VR_BIG_ENDIAN,
        deflated=uid in _DEFLATED,
        encapsulated=uid not in NATIVE_TRANSFER_SYNTAXES,
    )


#: UID to storage SOP class, in PS3.6 order of groups.
STORAGE_SOP_CLASSES = {row[0]: StorageSOPClass(*row) for row in _STORAGE_ROWS}

#: DCMTK's symbolic name to UID, Verification included.
SOP_CLASS_UIDS = {"VerificationSOPClass": VERIFICATION} | {
    row.name: row.uid for row in STORAGE_SOP_CLASSES.values()}

#: UID to DCMTK's symbolic name, Verification included.
SOP_CLASS_NAMES = {uid: name for name, uid in SOP_CLASS_UIDS.items()}

#: UID to transfer syntax.
TRANSFER_SYNTAXES = {row[0]: _transfer_syntax(*row) for row in _TRANSFER_SYNTAX_ROWS}

#: DCMTK's symbolic name to UID; the two names relative to the local byte order included.
TRANSFER_SYNTAX_UIDS = {row.name: row.uid for row in TRANSFER_SYNTAXES.values()} | {
    "LocalEndianExplicit": EXPLICIT_VR_LITTLE_ENDIAN,
    "OppositeEndianExplicit": EXPLICIT_VR_BIG_ENDIAN,
}

#: UID to DCMTK's symbolic name.
TRANSFER_SYNTAX_NAMES = {row.uid: row.name for row in TRANSFER_SYNTAXES.values()}


def transfer_syntax(uid: str) -> TransferSyntax:
    """Return the record of ``uid``; an unknown UID reads as encapsulated explicit little endian.

    Private and future transfer syntaxes can be accepted through association profiles; PS3.5 A.4 lets all
    encapsulated syntaxes share that encoding.
    """
    found = TRANSFER_SYNTAXES.get(uid)
    return found if found is not None else TransferSyntax(uid, uid, "")


def file_name_prefix(sop_class_uid: str) -> str:
    """Return the prefix storescp begins the names of files of this SOP class with."""
    found = STORAGE_SOP_CLASSES.get(sop_class_uid)
    return found.prefix if found is not None else UNKNOWN_PREFIX
